
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_MODEL_NAME_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_MODEL_NAME_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* how much longer the key of a name may be than the name */
#define NGX_HTTP_OLLAMA_MODEL_NAME_MORE  (sizeof(":latest") - 1)


/*
 * Narrows a name to what every Ollama understands: without blanks around it,
 * and without ":local", the suffix of a model that is not to be a cloud model.
 */
void ngx_http_ollama_model_name_plain(ngx_str_t *name);

/*
 * Whether the name is one of a cloud model, "model:cloud", "model:tag-cloud" or
 * "model-cloud": servers need not list these.
 */
ngx_uint_t ngx_http_ollama_model_name_is_cloud(ngx_str_t *name);

/*
 * Writes the key of a model's name to "dst", which has room for name->len +
 * NGX_HTTP_OLLAMA_MODEL_NAME_MORE: in lower case, without defaults but with the
 * tag, as "model:tag", "namespace/model:tag", "host/namespace/model:tag".  What
 * isn't a name is only written in lower case.  The suffixes above have one
 * spelling, too.  Returns the length, 0 for an empty name.
 */
size_t ngx_http_ollama_model_name_key(u_char *dst, ngx_str_t *name);

/*
 * Sets "owner" to the namespace in the name, or to "library", the default.
 * NGX_DECLINED: it isn't a name, "owner" is "library" then, too.
 */
ngx_int_t ngx_http_ollama_model_name_namespace(ngx_str_t *name,
    ngx_str_t *owner);


#endif /* _NGX_HTTP_OLLAMA_MODEL_NAME_H_INCLUDED_ */
