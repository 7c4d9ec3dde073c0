/* list.h - intrusive doubly linked list; a head is a node that points to itself. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <mosaik/bytes.h>

struct mk_list {
    struct mk_list *next, *prev;
};

static inline void mk_list_init(struct mk_list *l)
{
    l->next = l->prev = l;
}
static inline bool mk_list_empty(const struct mk_list *l)
{
    return l->next == l;
}
static inline void mk_list_add_tail(struct mk_list *head, struct mk_list *n)
{
    n->prev = head->prev;
    n->next = head;
    head->prev->next = n;
    head->prev = n;
}
/** Safe to call twice on the same node. */
static inline void mk_list_del(struct mk_list *n)
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    n->next = n->prev = n;
}
static inline struct mk_list *mk_list_pop(struct mk_list *head)
{
    struct mk_list *n = head->next;

    if (n == head)
        return NULL;
    mk_list_del(n);
    return n;
}
#define mk_list_each(pos, head)                                                      \
    for (struct mk_list *pos = (head)->next, *pos##_next = pos->next; pos != (head); \
         pos = pos##_next, pos##_next = pos->next)

#endif
