/* measure.c - pins against what a quote measures, and the files in which builders publish
 * what their images measure. */
#include <mosaik/attest.h>

#include <jansson.h>
#include <stdio.h>
#include <string.h>

void mk_measurements_of(const struct mk_td_report *r, struct mk_measurements *ret)
{
    memset(ret, 0, sizeof *ret);
    memcpy(ret->mr_td.b, r->mr_td, sizeof r->mr_td);
#define SET(name, from)                                    \
    do {                                                   \
        ret->name.some = true;                             \
        memcpy(ret->name.v.b, from, sizeof ret->name.v.b); \
    } while (0)
    SET(mr_config_id, r->mr_config_id);
    SET(mr_owner, r->mr_owner);
    SET(mr_owner_config, r->mr_owner_config);
    SET(rtmr0, r->rtmr[0]);
    SET(rtmr1, r->rtmr[1]);
    SET(rtmr2, r->rtmr[2]);
    SET(rtmr3, r->rtmr[3]);
#undef SET
}

static bool pinned_differs(const struct mk_opt_b48 *pin, const uint8_t got[48])
{
    return pin->some && memcmp(pin->v.b, got, 48) != 0;
}

const char *mk_measurements_differ(const struct mk_measurements *pins, const struct mk_td_report *r)
{
    const struct {
        const char *name;
        const struct mk_opt_b48 *pin;
        const uint8_t *got;
    } all[] = {{"mr_config_id", &pins->mr_config_id, r->mr_config_id},
               {"mr_owner", &pins->mr_owner, r->mr_owner},
               {"mr_owner_config", &pins->mr_owner_config, r->mr_owner_config},
               {"rtmr0", &pins->rtmr0, r->rtmr[0]},
               {"rtmr1", &pins->rtmr1, r->rtmr[1]},
               {"rtmr2", &pins->rtmr2, r->rtmr[2]},
               {"rtmr3", &pins->rtmr3, r->rtmr[3]}};

    if (memcmp(pins->mr_td.b, r->mr_td, sizeof r->mr_td) != 0)
        return "mr_td";
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (pinned_differs(all[i].pin, all[i].got))
            return all[i].name;
    }
    return NULL;
}

int mk_measurements_in(const struct mk_measurements *set, size_t n, const struct mk_td_report *r)
{
    for (size_t i = 0; i < n; i++) {
        if (mk_measurements_differ(&set[i], r) == NULL)
            return (int)i;
    }
    return -1;
}

/* --- published files ------------------------------------------------------------------------ */

static int read_register(struct mk_published *p, const char *key, const json_t *v, bool *mr_td,
                         struct mk_fault *reterr)
{
    struct mk_opt_b48 *rtmr[] = {&p->pins.rtmr0, &p->pins.rtmr1, &p->pins.rtmr2, &p->pins.rtmr3};
    const char *hex = json_string_value(json_object_get(v, "expected"));
    struct mk_b48 value;

    if (key[0] < '0' || key[0] > '4' || key[1] != '\0')
        return mk_fault(reterr, MK_EMALFORMED, "register \"%s\": 0 to 4 are known", key);
    if (hex == NULL || mk_unhex(value.b, sizeof value.b, hex, strlen(hex)) != 0)
        return mk_fault(reterr, MK_EMALFORMED, "register %s: expected is not of 96 hex digits",
                        key);
    if (key[0] == '0') {
        p->pins.mr_td = value;
        *mr_td = true;
    } else {
        *rtmr[key[0] - '1'] = (struct mk_opt_b48){true, value};
    }
    return 0;
}

static int read_entry(struct mk_published *p, json_t *o, struct mk_fault *reterr)
{
    json_t *registers = json_object_get(o, "measurements"), *v;
    const char *name = json_string_value(json_object_get(o, "measurement_id")), *key;
    bool mr_td = false;
    int rv = 0;

    snprintf(p->name, sizeof p->name, "%s", name != NULL ? name : "");
    p->any = json_object_size(registers) == 0;
    if (registers != NULL && !json_is_object(registers))
        return mk_fault(reterr, MK_EMALFORMED, "measurements is no object");
    json_object_foreach(registers, key, v)
    {
        rv = read_register(p, key, v, &mr_td, reterr);
        if (rv != 0)
            return rv;
    }
    if (!p->any && !mr_td)
        return mk_fault(reterr, MK_EMALFORMED, "register 0 (mr_td) is missing");
    return 0;
}

static int read_list(struct mk_published **ret, size_t *ret_n, struct mk_arena *arena,
                     const json_t *list, struct mk_fault *reterr)
{
    size_t size = json_array_size(list), n = 0;
    struct mk_published *out;

    if (!json_is_array(list))
        return mk_fault(reterr, MK_EMALFORMED, "measurements: not a list");
    if (size > MK_PUBLISHED_MAX)
        return mk_fault(reterr, MK_ELIMIT, "measurements: more than %u entries", MK_PUBLISHED_MAX);
    out = mk_arena_take(arena, (size + 1) * sizeof *out);
    for (size_t i = 0; i < size; i++) {
        json_t *o = json_array_get(list, i);
        const char *type = json_string_value(json_object_get(o, "attestation_type"));
        struct mk_fault why = {{0}};
        int rv;

        if (type == NULL)
            return mk_fault(reterr, MK_EMALFORMED, "measurements[%zu]: no attestation_type", i);
        if (strcmp(type, "dcap-tdx") != 0)
            continue;
        rv = read_entry(&out[n++], o, &why);
        if (rv != 0)
            return mk_fault(reterr, rv, "measurements[%zu]: %s", i, why.text);
    }
    *ret = out;
    *ret_n = n;
    return 0;
}

int mk_published_parse(struct mk_published **ret, size_t *ret_n, struct mk_arena *arena,
                       struct mk_bytes json, struct mk_fault *reterr)
{
    json_error_t where;
    json_t *list = json_loadb((const char *)json.p, json.n, JSON_REJECT_DUPLICATES, &where);
    int rv;

    if (list == NULL)
        return mk_fault(reterr, MK_EMALFORMED, "measurements:%d:%d: not JSON: %s", where.line,
                        where.column, where.text);
    rv = read_list(ret, ret_n, arena, list, reterr);
    json_decref(list);
    return rv;
}
