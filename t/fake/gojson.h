
/* JSON as Go's encoding/json reads it */

#ifndef _FAKE_GOJSON_H_INCLUDED_
#define _FAKE_GOJSON_H_INCLUDED_

#include "util.h"


#define FAKE_PARSE_MAX    (8 * 1024 * 1024)    /* body kept for parsing */


typedef struct {
    const char  *name;
    char         type;          /* s n b a o, or * for any */
    const char  *go_type;
    fake_str_t   value;         /* raw JSON; data NULL: not there */
} fake_field_t;


int fake_gojson_scan(const char *data, size_t len, size_t *end,
    fake_buf_t *err);
int fake_gojson_fields(const char *data, size_t len, const char *type,
    fake_field_t *fields, fake_buf_t *err);
int fake_gojson_next(fake_str_t *obj, fake_buf_t *key, fake_str_t *value);
void fake_gojson_string(fake_buf_t *b, const fake_str_t *raw);
size_t fake_gojson_count(const fake_str_t *raw);
int fake_gojson_true(const fake_str_t *raw);
const char *fake_gojson_kind(int ch);


#endif /* _FAKE_GOJSON_H_INCLUDED_ */
