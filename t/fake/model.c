
/*
 * The models and their names.
 */

#include "model.h"

#include <ctype.h>


fake_server_t   fake_server;
void          (*fake_model_removed)(fake_model_t *model);


/*
 * host/namespace/model:tag with the defaults, in small letters; NULL if
 * Ollama would find the name invalid.  The rules are those of its
 * types/model: cut from the right, each part of certain characters.
 */

char *
fake_name_key(const char *name, size_t len)
{
    int          i, n;
    char        *key, *p;
    size_t       k;
    fake_buf_t   b;
    fake_str_t   part[4], s;
    const char  *colon, *slash;

    /* host, namespace, model, tag */

    static const char  *defaults[] = {
        "registry.ollama.ai", "library", "", "latest"
    };

    for (i = 0; i < 4; i++) {
        part[i].data = defaults[i];
        part[i].len = strlen(defaults[i]);
    }

    s.data = name;
    s.len = len;

    colon = memrchr(s.data, ':', s.len);
    slash = memrchr(s.data, '/', s.len);

    if (colon && (slash == NULL || colon > slash)) {
        part[3].data = colon + 1;
        part[3].len = s.data + s.len - colon - 1;
        s.len = colon - s.data;
    }

    for (i = 2; i >= 0; i--) {
        slash = (i > 0) ? memrchr(s.data, '/', s.len) : NULL;

        part[i].data = slash ? slash + 1 : s.data;
        part[i].len = s.data + s.len - part[i].data;

        if (slash == NULL) {
            break;
        }

        s.len = slash - s.data;
    }

    if (i <= 0 && part[0].len > 3) {
        p = memmem(part[0].data, part[0].len, "://", 3);

        if (p) {
            part[0].len -= p + 3 - part[0].data;
            part[0].data = p + 3;
        }
    }

    memset(&b, 0, sizeof(fake_buf_t));

    for (n = 0; n < 4; n++) {

        if (part[n].len == 0 || part[n].len > (n ? 80 : 350)) {
            goto invalid;
        }

        for (k = 0; k < part[n].len; k++) {
            i = (unsigned char) part[n].data[k];

            if (i < 0x80 && (isalnum(i) || i == '_')) {
                continue;
            }

            if (k == 0
                || !(i == '-' || (i == '.' && n != 1)
                     || (i == ':' && n == 0)))
            {
                goto invalid;
            }
        }

        fake_buf_add(&b, part[n].data, part[n].len);
        fake_buf_str(&b, n == 2 ? ":" : (n == 3 ? "" : "/"));
    }

    key = b.data;

    for (p = key; *p; p++) {
        *p = tolower((unsigned char) *p);
    }

    return key;

invalid:

    fake_buf_free(&b);

    return NULL;
}


fake_model_t *
fake_model_find(const char *name, size_t len)
{
    char          *key;
    fake_model_t  *m;

    key = fake_name_key(name, len);

    if (key == NULL) {
        return NULL;
    }

    for (m = fake_server.models; m; m = m->next) {
        if (strcmp(m->key, key) == 0) {
            break;
        }
    }

    free(key);

    return m;
}


/* at the end of the list; a name that can't be asked for is listed, too */

fake_model_t *
fake_model_add(const char *name, json_t *spec)
{
    fake_buf_t      b;
    fake_model_t   *m, **link;

    memset(&b, 0, sizeof(fake_buf_t));
    fake_buf_str(&b, name);

    if (strrchr(name, ':') == NULL
        || (strrchr(name, '/') && strrchr(name, ':') < strrchr(name, '/')))
    {
        fake_buf_str(&b, ":latest");
    }

    m = fake_alloc(sizeof(fake_model_t));

    m->name = b.data;
    m->key = fake_name_key(name, strlen(name));
    m->spec = json_incref(spec);
    m->loaded = json_is_true(json_object_get(spec, "loaded"));

    if (m->key == NULL) {
        m->key = fake_strndup("", 0);
    }

    for (link = &fake_server.models; *link; link = &(*link)->next) {
        /* void */
    }

    *link = m;

    return m;
}


/* of the list, or one that was taken off it */

void
fake_model_remove(fake_model_t *model)
{
    fake_model_t  **link;

    for (link = &fake_server.models; *link; link = &(*link)->next) {
        if (*link == model) {
            *link = model->next;
            break;
        }
    }

    fake_model_removed(model);

    fake_conf_release(&model->conf);
    json_decref(model->spec);
    free(model->name);
    free(model->key);
    free(model);
}


void
fake_conf_release(fake_conf_t *conf)
{
    json_decref(conf->body);
    json_decref(conf->content_type);
    json_decref(conf->encoding);
    json_decref(conf->error);
    json_decref(conf->raw_reply);
    json_decref(conf->split_at);

    memset(conf, 0, sizeof(fake_conf_t));
}
