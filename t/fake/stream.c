
/*
 * The course of a reply: the time to the first token, the frames at their
 * pace, and the faults on the way.  sched.c says when it's worked on.
 *
 *     start -> working -> ready -> tick, tick, … -> the end
 *                              -> single
 *
 * Each step is what the connection's timer calls next, or is called at once
 * where there's nothing to wait for.  A step that ends the reply returns
 * right away: request and connection may be gone.
 */

#include "stream.h"
#include "error.h"
#include "form.h"
#include "origin.h"
#include "out.h"
#include "record.h"
#include "sched.h"


#define FAKE_AHEAD  (64 * 1024)     /* bytes in hand before we wait */
#define FAKE_TURN   (256 * 1024)    /* bytes before others get a turn */


static void fake_stream_working(fake_conn_t *c);
static void fake_stream_ready(fake_conn_t *c);
static void fake_stream_single(fake_conn_t *c);
static void fake_stream_single_fault(fake_conn_t *c, fake_buf_t *wire,
    fake_buf_t *body);
static void fake_stream_single_body(fake_conn_t *c, fake_buf_t *body);
static void fake_stream_tick(fake_conn_t *c);
static void fake_stream_header(fake_conn_t *c, fake_buf_t *wire, int framing,
    uint64_t length);
static int fake_stream_step(fake_conn_t *c, fake_buf_t *wire);
static int fake_stream_fault(fake_conn_t *c, fake_buf_t *wire);
static void fake_stream_line(fake_conn_t *c, fake_buf_t *wire,
    const char *line);
static void fake_stream_next(fake_gen_t *g, fake_buf_t *b);
static void fake_stream_build(fake_gen_t *g);
static void fake_stream_pace(fake_conn_t *c);
static int fake_stream_is_v1(const fake_gen_t *g);


/* emptied, not freed, between uses: one frame is made at a time */

static fake_buf_t  fake_wire;
static fake_buf_t  fake_frame;


void
fake_stream_free(fake_req_t *r)
{
    fake_gen_t  *g;

    g = &r->gen;

    fake_sched_leave(g);

    if (g->conf_held) {
        fake_conf_release(&g->conf);
    }

    fake_buf_free(&g->text);
    fake_buf_free(&g->thought);
    fake_buf_free(&g->whole);
    free(g->ends);
    free(g->options);
    free(g->name);
}


void
fake_stream_init(void)
{
    fake_model_removed = fake_sched_removed;
    fake_sched_init(fake_stream_working);
}


void
fake_stream_exit(void)
{
    fake_sched_exit();
    fake_buf_free(&fake_wire);
    fake_buf_free(&fake_frame);
}


/* m NULL: it needs none */

void
fake_stream_start(fake_conn_t *c, fake_model_t *m)
{
    fake_gen_t  *g;

    g = &c->req->gen;

    g->start_ns = fake_now_ns();

    g->total = g->conf.thinking + g->conf.frames;

    if (g->form != FAKE_FORM_GENERATE && g->form != FAKE_FORM_V1_COMPLETIONS)
    {
        g->total += g->conf.tool_calls;
    }

    if (g->conf.fault == FAKE_FAULT_FLOOD) {
        g->total = INT64_MAX;
        g->conf.size = g->conf.size ? g->conf.size : 1024;
    }

    if (fake_sched_enter(c, m)) {
        fake_stream_working(c);
    }
}


static void
fake_stream_working(fake_conn_t *c)
{
    double       wait;
    fake_gen_t  *g;

    g = &c->req->gen;

    wait = g->conf.ttft_ms
           + g->conf.token_ms * (double) (g->conf.prompt_eval_count
                                          - g->cached);

    /* nothing is evaluated for a load */

    if (g->single && strcmp(g->reason, "stop") != 0) {
        wait = 0;
    }

    g->first_ns = g->work_ns + (uint64_t) (wait * 1e6);

    if (g->single && g->form < FAKE_FORM_EMBED && g->total != INT64_MAX) {
        wait += g->conf.gap_ms * (double) (g->total / g->conf.batch);
    }

    if (wait > 0) {
        fake_conn_timer(c, wait, fake_stream_ready);
        return;
    }

    fake_stream_ready(c);
}


static void
fake_stream_ready(fake_conn_t *c)
{
    fake_gen_t         *g;
    fake_conf_t        *conf;

    static const char   bad[] = "HTTP/1.1 2OO banana\r\n"
                                "Content-Type application/x-ndjson\r\n\r\n";

    g = &c->req->gen;
    conf = &g->conf;

    g->due_ns = fake_now_ns();

    /* the frames of a reply in one piece were all waited for */

    if (!g->single) {
        g->first_ns = g->due_ns;
    }

    fake_wire.len = 0;

    switch (conf->fault) {

    case FAKE_FAULT_DIE_BEFORE_HEADER:
        fake_out_finish(c, &fake_wire, FAKE_DO_FIN, FAKE_END_DIED);
        return;

    case FAKE_FAULT_BAD_HEADER:
        fake_out_raw(c, &fake_wire, bad, sizeof(bad) - 1);
        fake_out_finish(c, &fake_wire, FAKE_DO_FIN, FAKE_END_DIED);
        return;
    }

    /* before any content, an error has its status */

    if (conf->error_line_after == 0
        || (conf->error_line_after > 0 && g->single))
    {
        fake_error_reply(c, g->form, 500, 0, "%s",
                         conf->error ? json_string_value(conf->error)
                                     : "fake error");
        return;
    }

    if (conf->fault != FAKE_FAULT_FLOOD
        && (g->single || conf->raw_reply || conf->encoding))
    {
        fake_stream_single(c);
        return;
    }

    if (conf->length || conf->fault == FAKE_FAULT_SHORT_LENGTH) {
        fake_stream_build(g);
    }

    fake_stream_tick(c);
}


static int
fake_stream_is_v1(const fake_gen_t *g)
{
    return g->form != FAKE_FORM_CHAT && g->form != FAKE_FORM_GENERATE
           && g->form != FAKE_FORM_EMBED && g->form != FAKE_FORM_EMBEDDINGS;
}


static void
fake_stream_header(fake_conn_t *c, fake_buf_t *wire, int framing,
    uint64_t length)
{
    fake_buf_t    more;
    fake_gen_t   *g;
    const char   *type;
    fake_conf_t  *conf;

    g = &c->req->gen;
    conf = &g->conf;

    memset(&more, 0, sizeof(fake_buf_t));

    if (fake_stream_is_v1(g)) {
        type = g->stream ? "text/event-stream" : "application/json";

    } else {
        type = g->stream ? "application/x-ndjson"
                         : "application/json; charset=utf-8";
    }

    if (conf->content_type) {
        type = json_string_value(conf->content_type);
    }

    if (conf->encoding) {
        fake_buf_fmt(&more, "Content-Encoding: %s\r\n",
                     json_string_value(conf->encoding));
    }

    if (g->stream && (g->form == FAKE_FORM_V1_RESPONSES
                      || g->form == FAKE_FORM_V1_MESSAGES))
    {
        fake_buf_str(&more, "Cache-Control: no-cache\r\n");

        if (c->req->keepalive && c->req->minor && !conf->http10
            && !conf->connection_close)
        {
            fake_buf_str(&more, "Connection: keep-alive\r\n");
        }
    }

    fake_origin_headers(c, &more);

    fake_out_header(c, wire, 200, type, framing, length, more.data);

    /* what is cut, is cut from the body on */

    fake_out_cutting(c);

    if (c->out.pend) {
        (void) bufferevent_write(c->bev, wire->data, wire->len);
        wire->len = 0;
    }

    fake_buf_free(&more);

    g->header_sent = 1;
}


static void
fake_stream_single_body(fake_conn_t *c, fake_buf_t *body)
{
    fake_buf_t    plain;
    fake_gen_t   *g;
    fake_conf_t  *conf;

    g = &c->req->gen;
    conf = &g->conf;

    if (conf->fault == FAKE_FAULT_GARBAGE) {
        fake_buf_str(body, "<html>garbage\n");

    } else if (conf->fault == FAKE_FAULT_GARBAGE_MID) {
        fake_buf_str(body, "{\"model\":\"m1\",#!\n");

    } else if (conf->raw_reply) {
        fake_buf_add(body, json_string_value(conf->raw_reply),
                     json_string_length(conf->raw_reply));

    } else if (g->single) {
        fake_form_whole(body, g);

    } else {
        fake_stream_build(g);
        fake_buf_add(body, g->whole.data, g->whole.len);
    }

    if (conf->encoding
        && strcmp(json_string_value(conf->encoding), "gzip") == 0)
    {
        plain = *body;
        memset(body, 0, sizeof(fake_buf_t));
        fake_gzip(body, plain.data, plain.len);
        fake_buf_free(&plain);
    }
}


/* all of the body at once */

static void
fake_stream_single(fake_conn_t *c)
{
    int           framing;
    size_t        length;
    fake_buf_t    body;
    fake_gen_t   *g;
    fake_rec_t   *rec;
    fake_conf_t  *conf;

    g = &c->req->gen;
    conf = &g->conf;

    memset(&body, 0, sizeof(fake_buf_t));
    fake_stream_single_body(c, &body);

    fake_wire.len = 0;
    length = body.len;
    framing = FAKE_FRAMING_LENGTH;

    if (conf->fault == FAKE_FAULT_BAD_CHUNK
        || conf->fault == FAKE_FAULT_DIE_AFTER_DONE
        || ((g->stream || (fake_server.chunked_json
                           && length > FAKE_GO_BUFFER))
            && !conf->length && conf->fault != FAKE_FAULT_SHORT_LENGTH))
    {
        framing = FAKE_FRAMING_CHUNKED;
    }

    if (conf->fault == FAKE_FAULT_SHORT_LENGTH) {
        length += 100;
    }

    fake_stream_header(c, &fake_wire, framing, length);

    rec = fake_rec_get(c->req->rec);

    if (rec) {
        rec->frames = 1;
    }

    fake_stream_single_fault(c, &fake_wire, &body);
    fake_buf_free(&body);
}


static void
fake_stream_single_fault(fake_conn_t *c, fake_buf_t *wire, fake_buf_t *body)
{
    int  fault;

    fault = (int) c->req->gen.conf.fault;

    switch (fault) {

    case FAKE_FAULT_DIE:
    case FAKE_FAULT_DIE_MID_FRAME:
    case FAKE_FAULT_RESET:
    case FAKE_FAULT_STALL:
        fake_out_body(c, wire, body->data, body->len / 2);

        if (fault == FAKE_FAULT_STALL) {
            fake_out_flush(c, wire);
            return;
        }

        fake_out_finish(c, wire, fault == FAKE_FAULT_RESET ? FAKE_DO_RST
                                                           : FAKE_DO_FIN,
                        FAKE_END_DIED);
        return;

    case FAKE_FAULT_BAD_CHUNK:
        fake_out_raw(c, wire, "xyz\r\n", 5);
        c->req->keepalive = 0;
        break;
    }

    fake_out_body(c, wire, body->data, body->len);

    if (fault == FAKE_FAULT_SHORT_LENGTH
        || fault == FAKE_FAULT_DIE_AFTER_DONE)
    {
        fake_out_finish(c, wire, FAKE_DO_FIN, FAKE_END_DIED);
        return;
    }

    fake_out_end(c, wire);
}


/* all frames beforehand, and where each ends */

static void
fake_stream_build(fake_gen_t *g)
{
    size_t  n;

    g->ends = fake_alloc((size_t) (g->total + 1) * sizeof(size_t));
    n = 0;

    for (g->index = 0; g->index <= g->total; g->index++) {

        if (g->index < g->total || !g->conf.no_done) {
            fake_form_frame(&g->whole, g);
        }

        g->ends[n++] = g->whole.len;
    }

    g->index = 0;
}


/* the bytes of the next frame */

static void
fake_stream_next(fake_gen_t *g, fake_buf_t *b)
{
    size_t  start;

    b->len = 0;

    if (g->ends == NULL) {
        fake_form_frame(b, g);
        return;
    }

    start = g->index ? g->ends[g->index - 1] : 0;

    fake_buf_add(b, g->whole.data + start, g->ends[g->index] - start);
}


static void
fake_stream_tick(fake_conn_t *c)
{
    int64_t       n;
    uint64_t      start;
    fake_gen_t   *g;
    fake_conf_t  *conf;

    g = &c->req->gen;
    conf = &g->conf;

    fake_wire.len = 0;

    if (!g->header_sent) {
        fake_stream_header(c, &fake_wire,
                           g->ends ? FAKE_FRAMING_LENGTH
                                   : FAKE_FRAMING_CHUNKED,
                           g->whole.len
                           + (conf->fault == FAKE_FAULT_SHORT_LENGTH) * 100);
    }

    start = c->out.wire;

    for (n = 1; /* void */ ; n++) {

        if (!fake_stream_step(c, &fake_wire)) {
            return;
        }

        if (conf->gap_ms && conf->fault != FAKE_FAULT_FLOOD) {
            if (n < conf->batch) {
                continue;
            }

            fake_out_flush(c, &fake_wire);
            fake_stream_pace(c);
            return;
        }

        if (fake_wire.len < FAKE_AHEAD / 2) {
            continue;
        }

        fake_out_flush(c, &fake_wire);

        if (fake_out_waiting(c) > FAKE_AHEAD) {
            c->drained = fake_stream_tick;
            return;
        }

        if (c->out.wire - start > FAKE_TURN) {
            fake_conn_timer(c, 0, fake_stream_tick);
            return;
        }
    }
}


/* by the clock, not from frame to frame, or delays would add up */

static void
fake_stream_pace(fake_conn_t *c)
{
    double       ms;
    uint64_t     now;
    fake_gen_t  *g;

    g = &c->req->gen;

    now = fake_now_ns();
    g->due_ns += (uint64_t) (g->conf.gap_ms * 1e6);

    if (g->due_ns <= now) {

        /* a whole gap late: not caught up in a burst */

        if (now - g->due_ns > g->conf.gap_ms * 1e6) {
            g->due_ns = now;
        }

        ms = 0;

    } else {
        ms = (g->due_ns - now) / 1e6;
    }

    fake_conn_timer(c, ms, fake_stream_tick);
}


/* one frame; 0: nothing more is to be done here */

static int
fake_stream_step(fake_conn_t *c, fake_buf_t *wire)
{
    fake_gen_t   *g;
    fake_rec_t   *rec;
    fake_conf_t  *conf;

    g = &c->req->gen;
    conf = &g->conf;

    if (conf->error_line_after == g->index) {
        fake_frame.len = 0;
        fake_form_error(&fake_frame, g,
                        conf->error ? json_string_value(conf->error)
                                    : "fake error");
        fake_out_body(c, wire, fake_frame.data, fake_frame.len);
        fake_out_end(c, wire);
        return 0;
    }

    if (conf->fault && !g->fault_done && g->index == conf->after
        && !fake_stream_fault(c, wire))
    {
        return 0;
    }

    if (conf->fault == FAKE_FAULT_FLOOD && c->out.body >= FAKE_FLOOD_MAX) {
        fake_out_finish(c, wire, FAKE_DO_FIN, FAKE_END_DIED);
        return 0;
    }

    if (g->index < g->total || !conf->no_done) {

        if (conf->fault == FAKE_FAULT_GARBAGE_MID
            && g->index == conf->after)
        {
            fake_stream_line(c, wire, "{\"model\":\"m1\",#!");

        } else {
            fake_stream_next(g, &fake_frame);
            fake_out_body(c, wire, fake_frame.data, fake_frame.len);
        }

        rec = fake_rec_get(c->req->rec);

        if (rec) {
            rec->frames++;
        }
    }

    if (g->index++ < g->total) {
        return 1;
    }

    if (conf->fault == FAKE_FAULT_DIE_AFTER_DONE
        || conf->fault == FAKE_FAULT_SHORT_LENGTH)
    {
        fake_out_finish(c, wire, FAKE_DO_FIN, FAKE_END_DIED);

    } else {
        fake_out_end(c, wire);
    }

    return 0;
}


/* the line of a stream, in the stream's form */

static void
fake_stream_line(fake_conn_t *c, fake_buf_t *wire, const char *line)
{
    fake_frame.len = 0;

    if (fake_stream_is_v1(&c->req->gen) && *line == '{') {
        fake_buf_str(&fake_frame, "data: ");
    }

    fake_buf_str(&fake_frame, line);
    fake_buf_str(&fake_frame, fake_stream_is_v1(&c->req->gen) ? "\n\n"
                                                              : "\n");
    fake_out_body(c, wire, fake_frame.data, fake_frame.len);
}


/* the place of the fault is reached; 0: it ends here */

static int
fake_stream_fault(fake_conn_t *c, fake_buf_t *wire)
{
    fake_gen_t  *g;

    g = &c->req->gen;
    g->fault_done = 1;

    switch (g->conf.fault) {

    case FAKE_FAULT_DIE:
        fake_out_finish(c, wire, FAKE_DO_FIN, FAKE_END_DIED);
        return 0;

    case FAKE_FAULT_RESET:
        fake_out_finish(c, wire, FAKE_DO_RST, FAKE_END_DIED);
        return 0;

    case FAKE_FAULT_DIE_MID_FRAME:

        /* the chunk promises the frame, and ends amid it */

        fake_stream_next(g, &fake_frame);

        if (c->out.framing == FAKE_FRAMING_CHUNKED) {
            fake_buf_fmt(wire, "%zx\r\n", fake_frame.len);
        }

        fake_out_raw(c, wire, fake_frame.data, fake_frame.len / 2);
        fake_out_finish(c, wire, FAKE_DO_FIN, FAKE_END_DIED);
        return 0;

    case FAKE_FAULT_STALL:
        fake_out_flush(c, wire);
        return 0;

    case FAKE_FAULT_GARBAGE:
        fake_stream_line(c, wire, "<html>garbage");
        return 1;

    case FAKE_FAULT_BAD_CHUNK:
        fake_out_raw(c, wire, "xyz\r\n", 5);
        c->req->keepalive = 0;
        return 1;
    }

    return 1;
}
