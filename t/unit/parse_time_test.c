
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Times in servers' replies: what Go writes is understood, anything else is
 * refused; compared with the C library's idea of the calendar.
 */


#include "unit.h"

#include <time.h>

#include "util/ngx_http_ollama_parse_time.h"


#define SECOND  INT64_C(1000000)


typedef struct {
    const char  *text;          /* the title, too */
    int64_t      usec;          /* -1: no time */
} time_case_t;


static time_case_t  time_cases[] = {

    { "1970-01-01T00:00:00Z", 0 },
    { "1970-01-01T00:00:01Z", SECOND },
    { "2000-02-29T12:30:45Z", 951827445 * SECOND },
    { "2025-06-01T12:34:56Z", 1748781296 * SECOND },
    { "2025-06-01T12:34:56.1Z", 1748781296 * SECOND + 100000 },
    { "2025-06-01T12:34:56.000001Z", 1748781296 * SECOND + 1 },
    { "2025-06-01T12:34:56.123456789Z", 1748781296 * SECOND + 123456 },
    { "2025-06-01T12:34:56.999999999Z", 1748781296 * SECOND + 999999 },
    { "2025-06-01T14:34:56+02:00", 1748781296 * SECOND },
    { "2025-06-01T14:34:56.5+02:00", 1748781296 * SECOND + 500000 },
    { "2025-06-01T07:04:56-05:30", 1748781296 * SECOND },
    { "2025-06-02T12:33:56+23:59", 1748781296 * SECOND },
    { "2318-09-10T04:41:36.84Z", 11003575296 * SECOND + 840000 },
    { "9999-12-31T23:59:59.999999999-23:59",
      253402387139 * SECOND + 999999 },
    { "0001-01-01T00:00:00Z", 0 },
    { "0000-01-01T00:00:00+23:59", 0 },
    { "0000-02-29T00:00:00Z", 0 },
    { "1969-12-31T23:59:59.9Z", 0 },
    { "1970-01-01T00:30:00+01:00", 0 },

    { "", -1 },
    { "x", -1 },
    { "2025-06-01", -1 },
    { "2025-06-01T12:34:56", -1 },
    { "2025-06-01T12:34:56 ", -1 },
    { "2025-06-01T12:34Z", -1 },
    { "2025-06-01 12:34:56Z", -1 },
    { "2025-06-01t12:34:56z", -1 },
    { "2025-06-01T12:34:56Zx", -1 },
    { "2025-06-01T12:34:56.Z", -1 },
    { "2025-06-01T12:34:56,5Z", -1 },
    { "2025-06-01T12:34:56.1234567890Z", -1 },
    { "2025-06-01T12:34:56.12x4Z", -1 },
    { "2025-06-01T12:34:56.5", -1 },
    { "2025-06-01T12:34:56+", -1 },
    { "2025-06-01T12:34:56+02", -1 },
    { "2025-06-01T12:34:56+0200", -1 },
    { "2025-06-01T12:34:56+02:0", -1 },
    { "2025-06-01T12:34:56+02:00:00", -1 },
    { "2025-06-01T12:34:56+24:00", -1 },
    { "2025-06-01T12:34:56+02:60", -1 },
    { "2025-06-01T12:34:56*02:00", -1 },
    { "2025-00-01T12:34:56Z", -1 },
    { "2025-13-01T12:34:56Z", -1 },
    { "2025-06-00T12:34:56Z", -1 },
    { "2025-06-31T12:34:56Z", -1 },
    { "2025-02-29T12:34:56Z", -1 },
    { "1900-02-29T12:34:56Z", -1 },
    { "2025-06-01T24:34:56Z", -1 },
    { "2025-06-01T12:60:56Z", -1 },
    { "2025-06-01T12:34:60Z", -1 },
    { "2025/06/01T12:34:56Z", -1 },
    { "2025-6-01T12:34:56.5Z", -1 },
    { "-025-06-01T12:34:56Z", -1 },
    { "20251-06-01T12:34:56Z", -1 },
    { "2025-06-01T12:34:5\xc3\xa9Z", -1 }
};


static int64_t
time_parse(const char *text, size_t len)
{
    int64_t    usec;
    ngx_str_t  copy;

    copy.len = len;
    copy.data = malloc(len ? len : 1);
    assert_non_null(copy.data);
    memcpy(copy.data, text, len);

    usec = ngx_http_ollama_parse_time(&copy);

    free(copy.data);

    return usec;
}


static void
time_case_test(void **state)
{
    time_case_t *c = *state;

    size_t  len;

    assert_true(time_parse(c->text, strlen(c->text)) == c->usec);

    /* a time that is cut off anywhere is none */

    for (len = 0; c->usec != -1 && len < strlen(c->text); len++) {
        assert_true(time_parse(c->text, len) == -1);
    }
}


static void
time_library_test(void **state)
{
    char        text[64];
    time_t      sec;
    size_t      len;
    struct tm   tm;
    ngx_uint_t  i;

    unit_seed(12);

    for (i = 0; i < 100000; i++) {

        /* up to the year 9999 */
        sec = unit_random(253402300800);

        assert_non_null(gmtime_r(&sec, &tm));
        len = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);

        if (time_parse(text, len) != (int64_t) sec * SECOND) {
            fail_msg("%s", text);
        }
    }
}


static void
time_random_test(void **state)
{
    char        text[40];
    size_t      len, at;
    int64_t     usec;
    ngx_uint_t  i, n;

    static const char  bytes[] = "0123456789-:.+TZtz \xff";

    unit_seed(13);

    for (i = 0; i < 200000; i++) {

        len = (size_t) sprintf(text, "2025-06-01T12:34:56.123456+02:00");

        for (n = unit_random(4); n; n--) {
            at = unit_random(len);
            text[at] = bytes[unit_random(sizeof(bytes))];
        }

        usec = time_parse(text, unit_random(2) ? len : unit_random(len + 1));

        assert_true(usec >= -1 && usec < 253402473600 * SECOND);
    }
}


int
main(void)
{
    unit_suite_t  suite = { NULL, 0 };

    unit_add_rows(&suite, time_case_test, time_cases, sizeof(time_case_t),
                  unit_nelts(time_cases));
    unit_add(&suite, "as the C library has it", time_library_test, NULL);
    unit_add(&suite, "random times", time_random_test, NULL);

    return unit_run(&suite, "time");
}
