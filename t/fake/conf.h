
/* Settings of models and of the server */

#ifndef _FAKE_CONF_H_INCLUDED_
#define _FAKE_CONF_H_INCLUDED_

#include "util.h"


typedef enum {
    FAKE_FAULT_NONE = 0,
    FAKE_FAULT_REFUSE,
    FAKE_FAULT_HANG,
    FAKE_FAULT_DIE_BEFORE_HEADER,
    FAKE_FAULT_DIE,
    FAKE_FAULT_RESET,
    FAKE_FAULT_DIE_MID_FRAME,
    FAKE_FAULT_DIE_AFTER_DONE,
    FAKE_FAULT_STALL,
    FAKE_FAULT_GARBAGE,
    FAKE_FAULT_GARBAGE_MID,
    FAKE_FAULT_BAD_CHUNK,
    FAKE_FAULT_BAD_HEADER,
    FAKE_FAULT_SHORT_LENGTH,
    FAKE_FAULT_FLOOD
} fake_fault_e;


/* the json_t members are references, each settings struct holds its own */

typedef struct {
    uint64_t   set;                 /* bit i: fields[i] of conf.c was set */

    double     ttft_ms;
    double     gap_ms;
    double     load_ms;

    int64_t    frames;
    int64_t    size;
    int64_t    batch;
    int64_t    thinking;
    int64_t    split;
    int64_t    split_delay_us;
    int64_t    status;
    int64_t    error_line_after;
    int64_t    after;
    int64_t    prompt_eval_count;

    int64_t    tool_calls;
    int64_t    length;
    int64_t    http10;
    int64_t    unicode;
    int64_t    no_done;
    int64_t    connection_close;
    int64_t    stamp;
    int64_t    fault;

    json_t    *body;
    json_t    *content_type;
    json_t    *encoding;
    json_t    *error;
    json_t    *raw_reply;
    json_t    *split_at;
} fake_conf_t;


typedef struct fake_model_s  fake_model_t;


typedef struct {
    double         lists_delay_ms;
    int64_t        lists_hang;
    int64_t        hang;
    int64_t        lists_status;
    int64_t        check_host;
    int64_t        record;
    int64_t        chunked_json;
    json_t        *lists_body;
    json_t        *tags_body;
    json_t        *ps_body;
    json_t        *version_body;
    json_t        *version;

    fake_model_t  *models;
} fake_server_t;


extern fake_server_t  fake_server;


void fake_conf_reset(void);
void fake_conf_exit(void);
int fake_conf_set(json_t *root, fake_buf_t *err);
void fake_conf_effective(fake_conf_t *conf, fake_model_t *model);
void fake_conf_release(fake_conf_t *conf);


#endif /* _FAKE_CONF_H_INCLUDED_ */
