
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _FUZZ_H_INCLUDED_
#define _FUZZ_H_INCLUDED_


#include "ngx_stub.h"


#define fuzz_nelts(a)  (sizeof(a) / sizeof((a)[0]))

#define fuzz_check(cond, ...)                                                 \
    if (!(cond)) {                                                            \
        fuzz_failed(#cond, __VA_ARGS__);                                      \
    }


typedef enum {
    fuzz_null = 0,
    fuzz_boolean,
    fuzz_number,
    fuzz_text,
    fuzz_object,
    fuzz_list
} fuzz_type_e;


typedef struct fuzz_value_s  fuzz_value_t;

struct fuzz_value_s {
    fuzz_type_e            type;
    ngx_str_t              raw;       /* as written, of any type */
    ngx_str_t              text;      /* decoded, of a string */
    ngx_uint_t             halves;    /* surrogates in it without the other */
    ngx_str_t              raw_key;   /* of a member */
    ngx_str_t              key;       /* decoded */
    fuzz_value_t          *first;     /* member or element */
    fuzz_value_t          *next;      /* of the same parent */
};


/* the plain reader of JSON that the module's parser is compared with */

typedef struct {
    u_char                *p;
    u_char                *last;
    u_char                *decoded;
    u_char                *strings;   /* room for what is decoded */
    fuzz_value_t          *values;
    ngx_uint_t             nvalues;
    ngx_uint_t             depth;
    ngx_uint_t             max_depth;
    ngx_uint_t             bytes;     /* strings need not be UTF-8: what isn't
                                         is U+FFFD */
} fuzz_reader_t;


void fuzz_reader_init(fuzz_reader_t *reader, u_char *p, size_t len,
    ngx_uint_t max_depth);
ngx_int_t fuzz_reader_value(fuzz_reader_t *reader, fuzz_value_t **value);
ngx_int_t fuzz_reader_end(fuzz_reader_t *reader);
void fuzz_reader_free(fuzz_reader_t *reader);

ngx_uint_t fuzz_same(ngx_str_t *a, ngx_str_t *b);
ngx_uint_t fuzz_is(ngx_str_t *a, const char *text);

/* the size of the next piece, of "rest" bytes */
size_t fuzz_piece(uint64_t *state, size_t rest);

void fuzz_failed(const char *cond, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), noreturn));


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


#endif /* _FUZZ_H_INCLUDED_ */
