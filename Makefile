# Builds, runs and tests the module; "make help" lists what there is.

## Variables, each as "make TARGET NAME=VALUE":
##   BUILD    release (default), debug or sanitize, each in build/BUILD
BUILD = release
##   CC       gcc (default) or clang
ifeq ($(origin CC),default)
CC = gcc
endif
##   CFLAGS, LDFLAGS   appended to the flags of the build
##   NGX_SRC  an nginx source tree to build against, instead of the headers
##            of the installed nginx (Debian's nginx-dev); "run" and "test"
##            build and use its nginx then
NGX_SRC =
##   NGX_FLAGS   how NGX_SRC is configured; a module fits any nginx of the
##            same version that was also configured with --with-compat
NGX_FLAGS = --with-compat --with-threads --with-http_ssl_module \
            --with-http_v2_module --with-http_auth_request_module \
            --with-http_realip_module --with-http_stub_status_module
##   NGX_BIN  the nginx that runs, if it is not the first one in PATH
NGX_BIN =
##   OLLAMA   for "run": the servers, as "10.0.0.5:11434 10.0.0.6:11434"
OLLAMA =
##   PORT     for "run": where to listen, 8080 by default
PORT = 8080
##   OLLAMA_REAL=no  for "test": leaves out the tests with a real Ollama
##   DESTDIR  for "install": a folder that stands for /
DESTDIR =
##   BENCH    for "bench": as "--rounds 3 --levels 1,50 --save FILE";
##            for "bench-lists": as "--rounds 5 --only static";
##            for "bench-sessions": as "--rounds 5 --only first,steps";
##            for "bench-fleet": as "--seeds 1,2,3 --load 80";
##            for "bench-routing": as "--quick" or "--scenario lab --each"
BENCH =
##   FUZZ_TIME   for "fuzz": seconds for each parser, 60 by default
FUZZ_TIME = 60
##   V=1      shows the compilers' command lines
V =
##

ifneq ($(words $(CURDIR)),1)
$(error nginx cannot be built in a folder with a blank in its name: $(CURDIR))
endif

ifeq ($(filter $(BUILD),release debug sanitize),)
$(error BUILD is release, debug or sanitize, not "$(BUILD)")
endif

export BUILD CC NGX_SRC OLLAMA PORT

out    := build/$(BUILD)
module := $(out)/ngx_http_ollama_module.so

# Nothing here may depend on what is installed when this file is read, as
# "run" and "test" install it: then they call make again.
again  = $(MAKE) --no-print-directory

# nginx's own makefiles, which must not take CFLAGS=... of a command line
# instead of theirs: that travels in MAKEFLAGS, behind a "--"
makefile_of_nginx = MAKEFLAGS="$${MAKEFLAGS%% -- *}" \
                    $(MAKE) --no-print-directory $(if $(V),,-s) \
                            -f objs/Makefile


# Flags

# nginx has -Wall, -Wextra under its old name -W with gcc, and -Werror; it lets
# parameters be unused, as a callback cannot choose what it is given
warnings  = -Wextra -Wno-unused-parameter

sanitizer = -fsanitize=address,undefined

opt_release  = -O2 -g -fstack-protector-strong \
               -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
opt_debug    = -O0 -g3
opt_sanitize = -O1 -g -fno-omit-frame-pointer $(sanitizer) \
               -fno-sanitize-recover=undefined

link_release  = -Wl,-z,relro -Wl,-z,now
link_debug    =
link_sanitize = $(sanitizer)

cc_opt = $(strip $(opt_$(BUILD)) $(CFLAGS))
ld_opt = $(strip $(link_$(BUILD)) $(LDFLAGS))


## Targets:
.PHONY: build
build: $(module)    ## the module (this is what a plain "make" does)


# nginx's own makefile knows what each object depends on.  The result is not
# written over: an nginx that has it loaded would crash.

$(module): FORCE
	@tools/configure $(out)/module --with-cc='$(CC)' \
	    --with-cc-opt='$(cc_opt) $(warnings)' --with-ld-opt='$(ld_opt)' \
	    $(if $(NGX_SRC),$(debug) $(NGX_FLAGS)) \
	    --add-dynamic-module='$(CURDIR)'
	+@$(makefile_of_nginx) -C $(out)/module modules
	@cmp -s $(out)/module/objs/$(@F) $@ \
	 || { cp $(out)/module/objs/$(@F) $@.new && mv $@.new $@ && echo "built $@"; }

debug = $(if $(filter-out release,$(BUILD)),--with-debug)


# The nginx that runs and is tested: the installed one, or that of NGX_SRC.
# A sanitized module needs the sanitizers' libraries to be loaded first.

installed = $(shell PATH="$$PATH:/usr/sbin:/usr/local/sbin:/sbin"; \
                command -v nginx)
compiled  = $(CURDIR)/$(out)/nginx/objs/nginx
plain     = $(or $(NGX_BIN),$(if $(NGX_SRC),$(compiled),$(installed)))
sanitized = $(CURDIR)/$(out)/nginx-sanitized
ours      = $(filter $(compiled),$(plain))
nginx     = $(if $(filter sanitize,$(BUILD)),$(sanitized),$(plain))

.PHONY: nginx
nginx:              ## with NGX_SRC: its nginx too
	@mkdir -p $(out)
ifneq ($(NGX_SRC),)
	@tools/configure $(out)/nginx --with-cc='$(CC)' \
	    --with-cc-opt='$(nginx_opt)' --with-ld-opt='$(nginx_link)' \
	    $(debug) $(NGX_FLAGS)
	+@$(makefile_of_nginx) -C $(out)/nginx binary
endif
ifeq ($(BUILD),sanitize)
	@tools/sanitized '$(plain)' $(if $(ours),,$(CC)) >$(sanitized).new
	@chmod +x $(sanitized).new
	@mv $(sanitized).new $(sanitized)
endif

# UBSan finds things in nginx itself, so only our code is built with it.
# NGX_DEBUG_PALLOC makes each allocation from a pool one that ASan sees.

nginx_opt  = $(if $(filter sanitize,$(BUILD)),-O1 -g -fno-omit-frame-pointer \
                 -fsanitize=address -DNGX_DEBUG_PALLOC=1,$(cc_opt))
nginx_link = $(if $(filter sanitize,$(BUILD)),-fsanitize=address,$(ld_opt))


# What is missing on this machine

built_from = module $(if $(NGX_SRC),source,debian) $(clang)
clang      = $(if $(findstring clang,$(CC)),clang)

.PHONY: deps deps-build deps-run deps-fake
deps:               ## installs the Debian packages that are missing
	@tools/deps $(built_from) run fake test

deps-build:         ## those needed to build
	@tools/deps $(built_from)

deps-run:           ## those needed to build and run
	@tools/deps $(built_from) run

deps-fake:
	@tools/deps fake


.PHONY: run
run: deps-run       ## a gateway in the foreground, Ctrl-C ends it
	+@$(again) build nginx
	+@NGX_BIN='$(nginx)' MODULE='$(CURDIR)/$(module)' \
	  MAKE='$(MAKE)' FAKE='$(CURDIR)/$(fake)' exec tools/run


# The stand-in for Ollama servers

fake      := $(out)/fake/fake
fake_objs := $(patsubst t/fake/%.c,$(out)/fake/%.o,$(wildcard t/fake/*.c))
fake_libs  = libevent jansson zlib

# for what is compiled without nginx's makefile
own_flags  = -std=gnu11 -Wall $(warnings) -Werror $(cc_opt) -MMD -MP

.PHONY: fake
fake: $(fake)       ## the stand-in Ollama server of the tests

$(fake): $(fake_objs) $(out)/flags
	@echo "link $@"
	@$(CC) -o $@ $(fake_objs) $(ld_opt) \
	    $$(pkg-config --libs $(fake_libs)) -lm

$(out)/fake/%.o: t/fake/%.c $(out)/flags
	@mkdir -p $(@D)
	@$(if $(V),set -x;) $(CC) -c -o $@ $(own_flags) \
	    $$(pkg-config --cflags $(fake_libs)) $<


# What gives requests of t/redis.t to the module's Redis, and those of
# t/session_store.t to its store: modules of their own, made as nginx's makefile
# would

probe      := $(patsubst t/%.c,$(out)/%.so,$(wildcard t/probe/*.c))

.PHONY: probe
probe: $(probe)

$(probe): $(out)/%.so: t/%.c $(out)/flags | $(module)
	@mkdir -p $(@D)
	@echo "link $@"
	@$(CC) -shared -fPIC -o $@ $(own_flags) $(unit_incs) $< $(ld_opt)


# Unit tests of the parts that need no nginx around them, only its headers: the
# few functions of nginx they call are in stubs

pure        = json yajl id forbid scan sse frame model_name server_url \
              scan_error scan_field scan_unload event frame_form frame_sse \
              parse_time fetch_http report_parse report snapshot policy emit \
              models_json backoff final_frame strbuf capture capture_parse \
              capture_frame capture_json message conversation_body \
              conversation_fields participants conversation_prompt \
              conversation_json procs utf8 chain multipart json_key sched \
              sched_cost sched_dispatch sched_learn sched_state \
              sched_survey hash histogram marks scan_runner prefix
unit_stubs := $(patsubst t/unit/%.c,$(out)/unit/%.o,$(wildcard t/unit/*_stub.c))
unit_objs  := $(pure:%=$(out)/unit/ngx_http_ollama_%.o) $(unit_stubs)
unit_tests := $(patsubst t/unit/%.c,$(out)/unit/%,$(wildcard t/unit/*_test.c))
unit_incs   = -I src -I t/unit $(addprefix -I $(out)/module/, objs src/core \
                  src/event src/event/modules src/event/quic src/os/unix \
                  src/http src/http/modules src/http/v2 src/http/v3)

.PHONY: unit unit-build
unit: unit-build    ## unit tests
	@failed=0; for test in $(unit_tests); do $$test || failed=1; done; \
	 exit $$failed

unit-build: $(unit_tests)

$(unit_tests): %: %.o $(unit_objs)
	@echo "link $@"
	@$(CC) -o $@ $^ $(ld_opt) -lcmocka -lyajl -ljansson -lm

$(out)/unit/%.o: t/unit/%.c $(out)/flags | $(module)
	$(unit_compile)

vpath ngx_http_ollama_%.c $(wildcard src/*/)

$(out)/unit/ngx_http_ollama_%.o: ngx_http_ollama_%.c $(out)/flags | $(module)
	$(unit_compile)

define unit_compile
	@mkdir -p $(@D)
	@$(if $(V),set -x;) $(CC) -c -o $@ $(own_flags) $(unit_incs) $<
endef

.SECONDARY: $(unit_tests:%=%.o) $(unit_objs)

# other flags or another compiler: all is compiled again
$(out)/flags: FORCE
	@mkdir -p $(@D)
	@{ echo '$(CC) $(own_flags) $(ld_opt) $(NGX_SRC)'; \
	   $(CC) --version; } >$@.new; \
	 cmp -s $@.new $@ && rm $@.new || mv $@.new $@

-include $(wildcard $(out)/fake/*.d $(out)/unit/*.d $(out)/probe/*.d \
           $(out)/bench/routing/*.d)


# Benchmarks: a load of streams, lists and the choice of a server, sessions, and
# the module's own work for a frame

bench_tools = $(patsubst %,$(out)/bench/%,load get cost trip steps.so)

.PHONY: bench bench-lists bench-sessions bench-fleet bench-real bench-build
bench: deps         ## what the gateway costs, beside plain nginx
	+@$(again) build nginx fake bench-build
	+@$(bench_env) t/bench/run $(BENCH)

bench-lists: deps   ## lists beside static files, and choosing a server
	+@$(again) build nginx fake bench-build
	+@$(bench_env) t/bench/lists $(BENCH)

bench-sessions: deps  ## what a session adds to a chat
	+@$(again) build nginx fake bench-build
	+@$(bench_env) t/bench/sessions $(BENCH)

bench-fleet: deps   ## choosing among servers that have Ollama's scheduler
	+@$(again) build nginx fake
	+@$(bench_env) t/bench/fleet $(BENCH)

bench-real: deps    ## twelve chats at one real Ollama, and at two
	+@$(again) build nginx
	+@$(bench_env) t/bench/real $(BENCH)

bench_env = BUILD_DIR='$(CURDIR)/$(out)' OLLAMA_MODULE='$(CURDIR)/$(module)' \
            OLLAMA_FAKE='$(CURDIR)/$(fake)' TEST_NGINX_BINARY='$(nginx)'

.PHONY: bench-cancel
bench-cancel: deps  ## how long a stop takes, and what it costs if there is none
	+@$(again) build nginx fake
	+@BUILD_DIR='$(CURDIR)/$(out)' OLLAMA_MODULE='$(CURDIR)/$(module)' \
	  OLLAMA_FAKE='$(CURDIR)/$(fake)' TEST_NGINX_BINARY='$(nginx)' \
	  t/bench/cancel $(BENCH)

# Routing by simulation: the module's functions, linked with a model of servers

routing_objs := $(patsubst t/%.c,$(out)/%.o,$(wildcard t/bench/routing/*.c))
routing      := $(out)/bench/routing/routing

.PHONY: bench-routing
bench-routing: deps-build   ## the choice of servers beside others', simulated
	+@$(again) $(routing)
	+@$(routing) $(BENCH)

# the servers have a unit test
$(out)/unit/routing_test: $(filter-out %/main.o,$(routing_objs))

$(routing): $(routing_objs) $(unit_objs)
	@echo "link $@"
	@$(CC) -o $@ $(routing_objs) $(unit_objs) $(ld_opt) -lcmocka -lyajl \
	    -ljansson -lm

$(out)/bench/routing/%.o: t/bench/routing/%.c $(out)/flags | $(module)
	$(unit_compile)

bench-build: $(bench_tools)

$(out)/bench/%: t/bench/%.c $(out)/flags
	@mkdir -p $(@D)
	@$(CC) -o $@ $(own_flags) $< $(ld_opt)

$(out)/bench/steps.so: t/bench/steps.c $(out)/flags
	@mkdir -p $(@D)
	@$(CC) -shared -fPIC -o $@ $(own_flags) $< $(ld_opt) -ldl

$(out)/bench/cost: t/bench/cost.c $(unit_objs) $(out)/flags
	@mkdir -p $(@D)
	@$(CC) -o $@ $(own_flags) $(unit_incs) $< $(unit_objs) $(ld_opt) \
	    -lcmocka -lyajl -lm


.PHONY: fuzz fuzz-wire
fuzz:               ## fuzzes the parsers, then a running gateway both ways
	@tools/deps $(built_from) run fuzz
	+@$(again) build
	@FUZZ_TIME='$(FUZZ_TIME)' MODULE_DIR='$(CURDIR)/$(out)/module' t/fuzz/run
	+@$(again) fuzz-wire

fuzz-wire:          ## only the latter: mutated requests and replies
	+@$(MAKE) --no-print-directory BUILD=sanitize build nginx
	@t/fuzz/wire


.PHONY: test
test: deps          ## everything that is tested, and the count
	+@$(again) build nginx
	+@$(again) fake probe unit-build bench-build
	+@BUILD_DIR='$(CURDIR)/$(out)' OLLAMA_MODULE='$(CURDIR)/$(module)' \
	  OLLAMA_FAKE='$(CURDIR)/$(fake)' TEST_NGINX_BINARY='$(nginx)' t/run


# The form, and two analyzers over src/, which take nginx's headers as they are
# set up for the module.  gcc is the one that has -fanalyzer, whatever CC is;
# without the two parameters it gives up on the parsers' state machines.
# Two of its checks are left out, both wrong with gcc 16 about our code: it does
# not see that a table, as it may be written to, still ends with its null entry
# (the sanitizers look for overruns), nor that what memchr() finds is in the
# buffer.  Older compilers ignore names that they don't know after -Wno-.

analyzer   = gcc -c -o /dev/null -std=gnu11 -O1 -Wall $(warnings) -Werror \
                 -fanalyzer --param analyzer-bb-explosion-factor=50 \
                 --param analyzer-max-enodes-per-program-point=64 \
                 -Wno-analyzer-out-of-bounds \
                 -Wno-analyzer-undefined-behavior-ptrdiff
cppcheck   = cppcheck -q --std=c11 --max-configs=1 --error-exitcode=1 \
                 --enable=warning,style,performance,portability \
                 --inline-suppr --suppressions-list=t/cppcheck.supp
sources    = $(wildcard src/*.c src/*/*.c)

.PHONY: lint lint-form lint-gcc lint-cppcheck
lint:               ## form of all files; gcc's analyzer and cppcheck on src/
	@tools/deps $(built_from) lint
	+@$(again) build
	+@$(again) -k lint-form lint-gcc lint-cppcheck

lint-form:
	@t/style

lint-gcc: $(sources:src/%.c=lint-gcc/%)

lint-gcc/%: src/%.c FORCE
	@$(if $(V),set -x;) $(analyzer) $(unit_incs) $<

lint-cppcheck:
	@$(if $(V),set -x;) $(cppcheck) \
	    $$(for dir in $(filter-out -I,$(unit_incs)); do \
	           [ ! -d $$dir ] || echo "-I $$dir"; done) $(sources)


.PHONY: valgrind
valgrind:           ## the .t files with nginx under valgrind (several minutes)
ifeq ($(BUILD),sanitize)
	$(error valgrind and the sanitizers exclude each other)
endif
	@tools/deps $(built_from) run fake test valgrind
	+@$(again) build nginx
	+@$(again) fake probe
	+@BUILD_DIR='$(CURDIR)/$(out)' OLLAMA_MODULE='$(CURDIR)/$(module)' \
	  OLLAMA_FAKE='$(CURDIR)/$(fake)' TEST_NGINX_BINARY='$(nginx)' t/valgrind

.PHONY: test-matrix
test-matrix:        ## "make test" in other Debian releases (needs root; long)
	@tools/deps matrix
	@t/matrix


.PHONY: install
install: build      ## the module and ollama_params into the installed nginx
	@tools/install $(module) '$(or $(NGX_BIN),$(installed))' '$(DESTDIR)'

.PHONY: clean
clean:              ## removes build/
	rm -rf build

.PHONY: help
help:               ## this
	@sed -n -e 's/^## \{0,1\}//p' \
	    -e 's/^\([a-z-]*\):.*[^#]## \(.*\)/  \1 \2/p' Makefile \
	 | awk '/^  [a-z-]+ / && targets { name = $$1; $$1 = ""; \
	            printf "  make %-15s%s\n", name, $$0; next } \
	        /^Targets/ { targets = 1 } { print }'

.PHONY: FORCE
FORCE:
