
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_WORD_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_WORD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Eight bytes of a text at once, as an uint64_t (Warren, Hacker's Delight,
 * 6-1).  A word of eight such bytes; one with a bit of 0x80 set if there is a
 * byte that is 0 in "word", not always in that byte.
 */

#define ngx_http_ollama_word_each(ch)  (UINT64_C(0x0101010101010101) * (ch))
#define ngx_http_ollama_word_zero(word)                                      \
    (((word) - ngx_http_ollama_word_each(0x01)) & ~(word))

/*
 * Not 0 if any byte is a control character, a quote or a backslash, which are
 * escaped in a string of JSON; or not ASCII, either.
 */

#define ngx_http_ollama_word_is_escaped(word)                                \
    (((((word) - ngx_http_ollama_word_each(0x20)) & ~(word))                 \
      | ngx_http_ollama_word_zero((word) ^ ngx_http_ollama_word_each('"'))   \
      | ngx_http_ollama_word_zero((word) ^ ngx_http_ollama_word_each('\\'))) \
     & ngx_http_ollama_word_each(0x80))

/* as any byte above 0x7f counts here, nothing must keep them out */

#define ngx_http_ollama_word_is_special(word)                                \
    (((word)                                                                 \
      | ((word) - ngx_http_ollama_word_each(0x20))                           \
      | (((word) ^ ngx_http_ollama_word_each('"'))                           \
         - ngx_http_ollama_word_each(0x01))                                  \
      | (((word) ^ ngx_http_ollama_word_each('\\'))                          \
         - ngx_http_ollama_word_each(0x01)))                                 \
     & ngx_http_ollama_word_each(0x80))


#endif /* _NGX_HTTP_OLLAMA_WORD_H_INCLUDED_ */
