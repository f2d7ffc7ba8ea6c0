
/*
 * Settings.  A model's own go over those of "*", field by field; which
 * were set is in the bit mask of fake_conf_t.  null takes a setting back.
 * Nothing is changed unless the whole of a /fake/set is right.
 */

#include "conf.h"
#include "listen.h"
#include "sched.h"


#define FAKE_BIT(i)  ((uint64_t) 1 << (i))


typedef enum {
    FAKE_SET_MS = 0,
    FAKE_SET_INT,
    FAKE_SET_BOOL,
    FAKE_SET_STR,
    FAKE_SET_OFFSETS,
    FAKE_SET_FAULT
} fake_set_e;


typedef struct {
    const char  *name;
    int          type;
    size_t       offset;
} fake_set_t;


static int fake_conf_value(const fake_set_t *f, json_t *value, void *to,
    fake_buf_t *err);
static int fake_conf_put(void *conf, const fake_set_t *f, json_t *value,
    fake_buf_t *err);
static const fake_set_t *fake_conf_find(const fake_set_t *f,
    const char *key);
static int fake_conf_model(json_t *root, fake_conf_t *conf, int dry,
    fake_buf_t *err);
static int fake_conf_server(json_t *root, int dry, fake_buf_t *err);
static int fake_conf_models(json_t *list, int dry, fake_buf_t *err);
static void fake_conf_defaults(fake_conf_t *conf);


#define fake_set(name, type)                                                  \
    { #name, FAKE_SET_##type, offsetof(fake_conf_t, name) }

static const fake_set_t  fake_sets[] = {
    fake_set(ttft_ms, MS),
    fake_set(gap_ms, MS),
    fake_set(load_ms, MS),
    fake_set(token_ms, MS),
    fake_set(frames, INT),
    fake_set(size, INT),
    fake_set(batch, INT),
    fake_set(thinking, INT),
    fake_set(split, INT),
    fake_set(split_delay_us, INT),
    fake_set(status, INT),
    fake_set(error_line_after, INT),
    fake_set(after, INT),
    fake_set(prompt_eval_count, INT),
    fake_set(token_bytes, INT),
    fake_set(tool_calls, BOOL),
    fake_set(tool_once, BOOL),
    fake_set(length, BOOL),
    fake_set(http10, BOOL),
    fake_set(unicode, BOOL),
    fake_set(no_done, BOOL),
    fake_set(connection_close, BOOL),
    fake_set(stamp, BOOL),
    fake_set(body, STR),
    fake_set(content_type, STR),
    fake_set(encoding, STR),
    fake_set(error, STR),
    fake_set(raw_reply, STR),
    fake_set(tool_name, STR),
    fake_set(tool_args, STR),
    fake_set(split_at, OFFSETS),
    fake_set(fault, FAULT),
    { NULL, 0, 0 }
};


#define fake_sset(name, type)                                                 \
    { #name, FAKE_SET_##type, offsetof(fake_server_t, name) }

static const fake_set_t  fake_server_sets[] = {
    fake_sset(lists_delay_ms, MS),
    fake_sset(tags_delay_ms, MS),
    fake_sset(ps_delay_ms, MS),
    fake_sset(version_delay_ms, MS),
    fake_sset(lists_hang, BOOL),
    fake_sset(hang, BOOL),
    fake_sset(lists_status, INT),
    fake_sset(tags_status, INT),
    fake_sset(ps_status, INT),
    fake_sset(version_status, INT),
    fake_sset(check_host, BOOL),
    fake_sset(record, BOOL),
    fake_sset(chunked_json, BOOL),
    fake_sset(num_parallel, INT),
    fake_sset(max_loaded, INT),
    fake_sset(lists_body, STR),
    fake_sset(tags_body, STR),
    fake_sset(ps_body, STR),
    fake_sset(version_body, STR),
    fake_sset(version, STR),
    { NULL, 0, 0 }
};


/* in the order of fake_fault_e */

static const char  *fake_faults[] = {
    "none", "refuse", "hang", "die_before_header", "die", "reset",
    "die_mid_frame", "die_after_done", "stall", "garbage", "garbage_mid",
    "bad_chunk", "bad_header", "short_length", "flood", NULL
};


static fake_conf_t  fake_all;       /* of "*" */


static int
fake_conf_value(const fake_set_t *f, json_t *value, void *to,
    fake_buf_t *err)
{
    size_t       i;
    json_t      *item;
    const char  *expected;

    switch (f->type) {

    case FAKE_SET_MS:
        expected = "a number of milliseconds";

        if (json_is_number(value) && json_number_value(value) >= 0) {
            *(double *) to = json_number_value(value);
            return 0;
        }

        break;

    case FAKE_SET_INT:
        expected = "a whole number, 0 or more";

        if (json_is_integer(value) && json_integer_value(value) >= 0) {
            *(int64_t *) to = json_integer_value(value);
            return 0;
        }

        break;

    case FAKE_SET_BOOL:
        expected = "true or false";

        if (json_is_boolean(value)) {
            *(int64_t *) to = json_is_true(value);
            return 0;
        }

        break;

    case FAKE_SET_STR:
        expected = "a string";

        if (json_is_string(value)) {
            *(json_t **) to = value;
            return 0;
        }

        break;

    case FAKE_SET_OFFSETS:
        expected = "an array of rising offsets";

        if (!json_is_array(value)) {
            break;
        }

        json_array_foreach(value, i, item) {
            if (!json_is_integer(item) || json_integer_value(item) < 1
                || (i && json_integer_value(item) <= json_integer_value(
                                               json_array_get(value, i - 1))))
            {
                break;
            }
        }

        if (i == json_array_size(value)) {
            *(json_t **) to = value;
            return 0;
        }

        break;

    default: /* FAKE_SET_FAULT */
        expected = "the name of a fault";

        for (i = 0; json_is_string(value) && fake_faults[i]; i++) {
            if (strcmp(json_string_value(value), fake_faults[i]) == 0) {
                *(int64_t *) to = (int64_t) i;
                return 0;
            }
        }
    }

    fake_buf_fmt(err, "invalid value of \"%s\": expected %s", f->name,
                 expected);

    return -1;
}


/* conf NULL: only checks */

static int
fake_conf_put(void *conf, const fake_set_t *f, json_t *value,
    fake_buf_t *err)
{
    char     *to;
    json_t  **ref;
    union {
        double    ms;
        int64_t   n;
        json_t   *json;
    } u;

    memset(&u, 0, sizeof(u));

    if (!json_is_null(value) && fake_conf_value(f, value, &u, err) != 0) {
        return -1;
    }

    if (conf == NULL) {
        return 0;
    }

    to = (char *) conf + f->offset;

    switch (f->type) {

    case FAKE_SET_MS:
        *(double *) to = u.ms;
        break;

    case FAKE_SET_STR:
    case FAKE_SET_OFFSETS:
        ref = (json_t **) to;
        json_decref(*ref);
        *ref = json_incref(u.json);
        break;

    default:
        *(int64_t *) to = u.n;
    }

    return 0;
}


static const fake_set_t *
fake_conf_find(const fake_set_t *f, const char *key)
{
    for ( /* void */ ; f->name; f++) {
        if (strcmp(f->name, key) == 0) {
            return f;
        }
    }

    return NULL;
}


static int
fake_conf_model(json_t *root, fake_conf_t *conf, int dry, fake_buf_t *err)
{
    int64_t            refuse;
    json_t            *value;
    const char        *key;
    const fake_set_t  *f;

    json_object_foreach(root, key, value) {

        if (strcmp(key, "model") == 0 || strcmp(key, "server") == 0) {
            continue;
        }

        f = fake_conf_find(fake_sets, key);

        if (f == NULL) {
            fake_buf_fmt(err, "unknown key \"%s\"", key);
            return -1;
        }

        refuse = (conf->fault == FAKE_FAULT_REFUSE);

        if (fake_conf_put(dry ? NULL : conf, f, value, err) != 0) {
            return -1;
        }

        if (dry) {
            continue;
        }

        if (json_is_null(value)) {
            conf->set &= ~FAKE_BIT(f - fake_sets);

        } else {
            conf->set |= FAKE_BIT(f - fake_sets);
        }

        /* of the whole server, whatever model it's set for */

        if (conf->fault == FAKE_FAULT_REFUSE) {
            fake_listen(0);

        } else if (refuse) {
            fake_listen(1);
        }
    }

    return 0;
}


/* [{"name":"m1","loaded":true,…}]; settings of a name that stays, stay */

static int
fake_conf_models(json_t *list, int dry, fake_buf_t *err)
{
    size_t              i;
    json_t             *item, *value;
    const char         *key;
    const char * const *known;
    fake_model_t       *m, *old, **link;

    static const char  *keys[] = {
        "name", "size", "size_vram", "loaded", "digest", "modified_at",
        "expires_at", "context_length", "details", "capabilities",
        "remote_model", "remote_host", NULL
    };

    if (!json_is_array(list)) {
        fake_buf_str(err, "invalid value of \"models\": expected an array");
        return -1;
    }

    json_array_foreach(list, i, item) {

        if (!json_is_string(json_object_get(item, "name"))) {
            fake_buf_str(err, "\"models\" has an element without a "
                              "\"name\"");
            return -1;
        }

        json_object_foreach(item, key, value) {
            for (known = keys; *known && strcmp(*known, key); known++) {
                /* void */
            }

            if (*known == NULL) {
                fake_buf_fmt(err, "unknown key \"%s\" in \"models\"", key);
                return -1;
            }
        }
    }

    if (dry) {
        return 0;
    }

    old = fake_server.models;
    fake_server.models = NULL;

    json_array_foreach(list, i, item) {
        m = fake_model_add(json_string_value(json_object_get(item, "name")),
                           item);

        for (link = &old; *link; link = &(*link)->next) {
            if (strcmp((*link)->key, m->key) == 0) {
                fake_conf_release(&m->conf);
                m->conf = (*link)->conf;
                memset(&(*link)->conf, 0, sizeof(fake_conf_t));
                break;
            }
        }
    }

    while (old) {
        m = old;
        old = m->next;
        fake_model_remove(m);
    }

    return 0;
}


static int
fake_conf_server(json_t *root, int dry, fake_buf_t *err)
{
    json_t            *value;
    const char        *key;
    const fake_set_t  *f;

    if (!json_is_object(root)) {
        fake_buf_str(err, "invalid value of \"server\": expected an "
                          "object");
        return -1;
    }

    json_object_foreach(root, key, value) {

        if (strcmp(key, "models") == 0) {
            if (fake_conf_models(value, dry, err) != 0) {
                return -1;
            }

            continue;
        }

        if (strcmp(key, "listen") == 0) {
            if (!json_is_boolean(value)) {
                fake_buf_str(err, "invalid value of \"listen\": expected "
                                  "true or false");
                return -1;
            }

            if (!dry && fake_listen(json_is_true(value)) != 0) {
                fake_buf_str(err, "can't listen");
                return -1;
            }

            continue;
        }

        if (strcmp(key, "relisten_ms") == 0) {
            if (!json_is_number(value)) {
                fake_buf_str(err, "invalid value of \"relisten_ms\": "
                                  "expected a number of milliseconds");
                return -1;
            }

            if (!dry) {
                fake_relisten(json_number_value(value));
            }

            continue;
        }

        f = fake_conf_find(fake_server_sets, key);

        if (f == NULL) {
            fake_buf_fmt(err, "unknown key \"server.%s\"", key);
            return -1;
        }

        if (fake_conf_put(dry ? NULL : &fake_server, f, value, err) != 0) {
            return -1;
        }

        /* what isn't zero at the start */

        if (!dry && json_is_null(value)
            && (strcmp(key, "check_host") == 0 || strcmp(key, "record") == 0))
        {
            *(int64_t *) ((char *) &fake_server + f->offset) = 1;
        }
    }

    if (!dry) {
        fake_sched_changed();
    }

    return 0;
}


int
fake_conf_set(json_t *root, fake_buf_t *err)
{
    int            dry;
    json_t        *name, *server;
    fake_conf_t   *conf;
    fake_model_t  *m;

    if (!json_is_object(root)) {
        fake_buf_str(err, "expected an object");
        return -1;
    }

    name = json_object_get(root, "model");
    server = json_object_get(root, "server");
    conf = &fake_all;

    if (name && !json_is_string(name)) {
        fake_buf_str(err, "invalid value of \"model\": expected a string");
        return -1;
    }

    if (name == NULL && json_object_size(root) > (server ? 1 : 0)) {
        fake_buf_str(err, "no \"model\" to go with the settings");
        return -1;
    }

    for (dry = 1; dry >= 0; dry--) {

        if (server && fake_conf_server(server, dry, err) != 0) {
            return -1;
        }

        if (name && strcmp(json_string_value(name), "*") != 0) {
            m = fake_model_find(json_string_value(name),
                                json_string_length(name));

            /* it may come with the "models" of the same call */

            if (m == NULL
                && !(dry && server && json_object_get(server, "models")))
            {
                fake_buf_fmt(err, "unknown model \"%s\"",
                             json_string_value(name));
                return -1;
            }

            conf = m ? &m->conf : &fake_all;
        }

        if (fake_conf_model(root, conf, dry, err) != 0) {
            return -1;
        }
    }

    return 0;
}


static void
fake_conf_defaults(fake_conf_t *conf)
{
    memset(conf, 0, sizeof(fake_conf_t));

    conf->frames = 5;
    conf->batch = 1;
    conf->after = 1;
    conf->split_delay_us = 200;
    conf->error_line_after = -1;
    conf->prompt_eval_count = 10;
}


/* the result holds references: fake_conf_release() */

void
fake_conf_effective(fake_conf_t *conf, fake_model_t *model)
{
    int                 layer;
    char               *to, *from;
    const fake_set_t   *f;
    const fake_conf_t  *conf_layer;

    fake_conf_defaults(conf);

    for (layer = 0; layer < 2; layer++) {

        conf_layer = layer ? (model ? &model->conf : NULL) : &fake_all;

        if (conf_layer == NULL || conf_layer->set == 0) {
            continue;
        }

        for (f = fake_sets; f->name; f++) {

            if (!(conf_layer->set & FAKE_BIT(f - fake_sets))) {
                continue;
            }

            to = (char *) conf + f->offset;
            from = (char *) conf_layer + f->offset;

            if (f->type == FAKE_SET_STR || f->type == FAKE_SET_OFFSETS) {
                json_decref(*(json_t **) to);
                *(json_t **) to = json_incref(*(json_t **) from);

            } else if (f->type == FAKE_SET_MS) {
                *(double *) to = *(double *) from;

            } else {
                *(int64_t *) to = *(int64_t *) from;
            }
        }
    }

    if (conf->batch == 0) {
        conf->batch = 1;
    }
}


void
fake_conf_exit(void)
{
    fake_conf_release(&fake_all);

    while (fake_server.models) {
        fake_model_remove(fake_server.models);
    }

    json_decref(fake_server.lists_body);
    json_decref(fake_server.tags_body);
    json_decref(fake_server.ps_body);
    json_decref(fake_server.version_body);
    json_decref(fake_server.version);

    memset(&fake_server, 0, sizeof(fake_server_t));
}


void
fake_conf_reset(void)
{
    json_t  *spec;

    fake_conf_exit();

    fake_server.check_host = 1;
    fake_server.record = 1;

    spec = json_pack("{s:s, s:b}", "name", "m1:latest", "loaded", 1);
    fake_model_add("m1:latest", spec);
    json_decref(spec);

    spec = json_pack("{s:s}", "name", "m2:latest");
    fake_model_add("m2:latest", spec);
    json_decref(spec);
}
