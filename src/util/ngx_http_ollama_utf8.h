
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_UTF8_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_UTF8_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Makes the text valid UTF-8, in place: replaces each byte that isn't by "?",
 * and cuts off a character that is incomplete at the end.  Returns the new
 * length.
 */
size_t ngx_http_ollama_utf8_repair(u_char *text, size_t len);

/*
 * The same for a text that is also logged or shown on one line: characters
 * that control a terminal become "?", too.
 */
size_t ngx_http_ollama_utf8_clean(u_char *text, size_t len);

/*
 * Makes of a decoded string what Go's encoding/json makes of it: each byte that
 * is not of a character in UTF-8 becomes U+FFFD.  "dst" must have room for
 * three times the length, or is NULL; returns the new length.
 */
size_t ngx_http_ollama_utf8_mend(u_char *dst, const u_char *p, size_t len);

/* Whether a text in UTF-8 has no control character, so is one line. */
ngx_uint_t ngx_http_ollama_utf8_is_line(const u_char *p, size_t len);

/*
 * How much of a text in UTF-8 fits into "max" bytes: its length, or less, so
 * that the cut is between two characters.
 */
size_t ngx_http_ollama_utf8_cut(ngx_str_t *text, size_t max);


#endif /* _NGX_HTTP_OLLAMA_UTF8_H_INCLUDED_ */
