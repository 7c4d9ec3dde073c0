// toml.cc - toml++ behind a C function; the only C++ of the tree.
//
// No exceptions leave it: toml++ is built without its own, and memory that cannot be
// had ends the process as everywhere. The tree that toml++ builds is copied and gone
// when the function returns.
//
// toml++ asserts what strangers' bytes can break (3.3 and 3.4: a table header that
// begins with '!'), and with NDEBUG tells the compiler to rely on it. Here a broken
// assertion is a refusal. Where the code behind it finds the fault itself, with its
// place, it is left to do so.
#undef NDEBUG
#define TOML_ASSERT(expr) toml_expect(static_cast<bool>(expr), #expr)
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0

#include <string_view>

namespace
{

struct broken_assertion {
};

constexpr void toml_expect(bool holds, std::string_view what)
{
    if (!holds && what.find("is_bare_key_character") == std::string_view::npos)
        throw broken_assertion{};
}

} // namespace

#include <toml++/toml.h>

#include <algorithm>
#include <cstring>
#include <vector>

extern "C" {
#include "coalition/toml.h"
}

namespace
{

mk_str copy(std::string_view s, mk_arena *arena)
{
    return mk_arena_str(arena, mk_str{s.data(), s.size()});
}

toml_place place(const toml::source_position &p, const toml_place &otherwise)
{
    return p.line == 0 ? otherwise : toml_place{p.line, p.column};
}

void convert(toml_node *out, const toml::node &in, const toml_place &around, mk_arena *arena);

void convert_table(toml_node *out, const toml::table &in, mk_arena *arena)
{
    struct entry {
        const toml::key *key;
        const toml::node *node;
    };
    std::vector<entry> entries;

    for (auto &&[key, node] : in)
        entries.push_back({&key, &node});
    std::stable_sort(entries.begin(), entries.end(), [](const entry &a, const entry &b) {
        const auto &x = a.key->source().begin, &y = b.key->source().begin;
        return x.line != y.line ? x.line < y.line : x.column < y.column;
    });
    out->kind = TOML_TABLE;
    out->n = entries.size();
    if (out->n == 0)
        return;
    out->children = static_cast<toml_node *>(mk_arena_take(arena, out->n * sizeof *out->children));
    for (size_t i = 0; i < out->n; i++) {
        toml_node *child = &out->children[i];

        child->key = copy(entries[i].key->str(), arena);
        child->key_at = place(entries[i].key->source().begin, out->at);
        convert(child, *entries[i].node, child->key_at, arena);
    }
}

void convert_array(toml_node *out, const toml::array &in, mk_arena *arena)
{
    out->kind = TOML_ARRAY;
    out->n = in.size();
    if (out->n == 0)
        return;
    out->children = static_cast<toml_node *>(mk_arena_take(arena, out->n * sizeof *out->children));
    for (size_t i = 0; i < out->n; i++)
        convert(&out->children[i], in[i], out->at, arena);
}

void convert(toml_node *out, const toml::node &in, const toml_place &around, mk_arena *arena)
{
    out->at = place(in.source().begin, around);
    if (const toml::table *t = in.as_table()) {
        convert_table(out, *t, arena);
    } else if (const toml::array *a = in.as_array()) {
        convert_array(out, *a, arena);
    } else if (const auto *s = in.as_string()) {
        out->kind = TOML_TEXT;
        out->text = copy(s->get(), arena);
    } else if (const auto *i = in.as_integer()) {
        out->kind = TOML_INTEGER;
        out->integer = i->get();
    } else if (const auto *f = in.as_floating_point()) {
        out->kind = TOML_FLOAT;
        out->real = f->get();
    } else if (const auto *b = in.as_boolean()) {
        out->kind = TOML_BOOL;
        out->flag = b->get();
    } else {
        out->kind = TOML_DATE;
    }
}

} // namespace

extern "C" int toml_parse_scanned(struct toml_node *ret, struct mk_bytes bytes,
                                  struct mk_arena *arena, struct toml_place *ret_at,
                                  struct mk_fault *ret_description)
try {
    const std::string_view text(reinterpret_cast<const char *>(bytes.p), bytes.n);
    const toml::parse_result result = toml::parse(text);

    if (!result) {
        const toml::parse_error &e = result.error();

        *ret_at = place(e.source().begin, toml_place{1, 1});
        return mk_fault(ret_description, MK_EMALFORMED, "%s", std::string(e.description()).c_str());
    }
    *ret = toml_node{};
    ret->at = toml_place{1, 1};
    convert(ret, result.table(), ret->at, arena);
    return 0;
} catch (const broken_assertion &) {
    return mk_fault(ret_description, MK_EMALFORMED, "something that the parser cannot place");
}
