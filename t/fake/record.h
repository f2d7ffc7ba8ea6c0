
/* What was asked and what became of it */

#ifndef _FAKE_RECORD_H_INCLUDED_
#define _FAKE_RECORD_H_INCLUDED_

#include "util.h"


#define FAKE_RECORD_BODY  (64 * 1024)          /* body kept for the record */
#define FAKE_RECORD_MAX   1000                 /* requests and connections */


/* a gateway that probes its servers says so in User-Agent */

#define FAKE_POLLER       "nginx-ollama"


typedef enum {
    FAKE_END_OPEN = 0,
    FAKE_END_COMPLETE,
    FAKE_END_CLIENT,
    FAKE_END_DIED
} fake_end_e;


typedef struct {
    uint64_t   n;                   /* 0: an unused place */
    uint64_t   conn;
    char      *method;
    char      *uri;
    char      *path;
    char      *model;
    char      *body;
    size_t     body_len;
    uint64_t   body_bytes;
    json_t    *headers;
    char       sha256[65];
    int        minor;
    int        status;
    double     started;
    double     received;
    double     work;
    double     header;
    double     ended;
    uint64_t   frames;
    int        end;
} fake_rec_t;


typedef struct {
    uint64_t   id;
    double     opened;
    double     closed;
    int        by_client;
    uint64_t   requests;
} fake_crec_t;


/* since the reset */

typedef struct {
    uint64_t   loads;               /* begun */
    uint64_t   reloads;             /* of models that had other options */
    uint64_t   evictions;
    uint64_t   aborted_loads;
} fake_counts_t;


typedef struct {
    const char  *path;              /* NULL: any */
    int64_t      last;
    int64_t      polls;             /* 1: polls, 0: all but polls */
} fake_rec_filter_t;


extern unsigned       fake_open[2];  /* connections, and those of probes;
                                        control left out */
extern fake_counts_t  fake_counts;
extern struct event  *fake_rec_wake; /* NULL: nobody waits for changes */


fake_rec_t *fake_rec_start(uint64_t conn);
fake_rec_t *fake_rec_get(uint64_t n);
void fake_rec_ended(uint64_t n, int end);
uint64_t fake_rec_poll(uint64_t n, uint64_t conn);
uint64_t fake_rec_conn_open(int poll);
uint64_t fake_rec_conn_poll(uint64_t id);
void fake_rec_conn_forget(uint64_t id);
void fake_rec_conn_closed(uint64_t id, int by_client);
void fake_rec_reset(void);
void fake_rec_counts(const fake_rec_filter_t *f, uint64_t *count,
    uint64_t *ended);
void fake_rec_changed(void);
json_t *fake_rec_json(const fake_rec_filter_t *f);


#endif /* _FAKE_RECORD_H_INCLUDED_ */
