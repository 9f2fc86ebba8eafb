/*
 * A plug-in execution provider that runs on the processor and fails when it is told to.
 *
 * Of ONNX Runtime's C structs only what is used here is written down, by position: functions of OrtApi and OrtEpApi by
 * their place in the table, the provider's own tables as far as version 24 of the API has them. Both only ever grow at
 * their ends. Add, Sub, Mul and Identity are its nodes, each compiled for itself.
 *
 *   option or environment                       what it does
 *   control  (LIMPET_FAKE_CONTROL)   a file, read at each session and run: "ok", "refuse", "fail" or "lost"
 *   record   (LIMPET_FAKE_RECORD)    a file to which it writes a line for each session (with its options) and run
 *   fail_after                                  the runs that a session answers before it fails
 *   engines                                     a folder from which it reads its engine, or into which it builds one; while
 *                                               the control file says "hold", building goes on
 *
 * Built with -DDEVICE_MEMORY it has memory of its own, in which every byte is another one than outside, so that a copy
 * that is missing shows; and memory of the host that it reads itself, which it calls pinned. The record gets a line for
 * each copy between the two: "host>device 2" of two tensors at once. Built with -DNO_PINNED too it lacks the latter.
 * With the option enable_cuda_graph a node remembers where its operands and its result lay at its first run, and from then
 * on uses these places, whatever it is given: as a CUDA graph does.
 *
 * "lost" is for ever: whatever the file says later, this process has lost the device.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef API
#define API 24
#endif
#ifndef EP_NAME
#define EP_NAME "FakeExecutionProvider"
#endif
#ifndef DEVICES
#define DEVICES 1
#endif

typedef void *Handle;
typedef Handle Status;
typedef void (*Function)(void);

enum { FAIL = 1, NOT_IMPLEMENTED = 9, EP_FAIL = 11 };
enum { FLOAT = 1, INT32 = 6, INT64 = 7 };
enum { RANK_MAX = 8, NODES_MAX = 1024 };

/* Places in OrtApi. */
enum {
  CREATE_STATUS = 0, GET_DATA = 51, GET_TYPE = 60, GET_RANK = 61, GET_DIMS = 62, GET_INFO = 65,
  INPUT_COUNT = 88, GET_INPUT = 90, GET_OUTPUT = 91, RELEASE_INFO = 99, KEY_VALUES = 298, RELEASE_KEY_VALUES = 300,
  DEVICE_TYPE = 307, GET_EP_API = 317, TENSOR_BYTES = 318, CREATE_MEMORY = 320, NODE_COUNT = 344, NODES = 345, OPERATOR = 350, OPTION_ENTRIES = 379
};
/* Places in OrtEpApi. */
enum {
  CREATE_EP_DEVICE = 0, ADD_NODES_TO_FUSE = 2, ADD_ALLOCATOR = 5, DEVICE_OF_VALUE = 7, KIND_OF_DEVICE = 9, MEMORY_OF_DEVICE = 10
};

typedef struct { const Function *(*get_api)(uint32_t); const char *(*get_version)(void); } ApiBase;

static const Function *api;
static const Function *ep_api;
static atomic_bool is_lost;

#define CALL(table, place, returns, ...) ((returns(*)(__VA_ARGS__))table[place])

static Status status(int code, const char *text) { return CALL(api, CREATE_STATUS, Status, int, const char *)(code, text); }

/* ---- Being told ---- */

typedef struct { char control[512]; char record[512]; char engines[512]; long fail_after; bool is_graph; } Settings;

static bool is_told(const Settings *settings, const char *word) {
  FILE *file = settings->control[0] ? fopen(settings->control, "r") : NULL;
  char text[32] = "";
  if (file) {
    if (!fgets(text, sizeof text, file)) text[0] = 0;
    fclose(file);
  }
  return strncmp(text, word, strlen(word)) == 0;
}

static void record(const Settings *settings, const char *line) {
  FILE *file = settings->record[0] ? fopen(settings->record, "a") : NULL;
  if (!file) return;
  fprintf(file, "%s\n", line);
  fclose(file);
}

static void copy(char *to, const char *from) { snprintf(to, 512, "%s", from ? from : ""); }

/* Those of this provider, as "key=value" separated by spaces; what is said of control, record and fail_after is taken. */
static void read_options(const void *session_options, Settings *settings, char *line, size_t line_bytes) {
  Handle pairs = NULL;
  const char *const *keys, *const *values;
  size_t count = 0;
  copy(settings->control, getenv("LIMPET_FAKE_CONTROL"));
  copy(settings->record, getenv("LIMPET_FAKE_RECORD"));
  settings->engines[0] = 0;
  settings->fail_after = -1;
  CALL(api, OPTION_ENTRIES, Status, const void *, Handle *)(session_options, &pairs);
  CALL(api, KEY_VALUES, void, Handle, const char *const **, const char *const **, size_t *)(pairs, &keys, &values, &count);
  for (size_t i = 0; i < count; i++) {
    const char *key = strrchr(keys[i], '.');
    if (strncmp(keys[i], "ep.", 3) != 0 || !key) continue;
    key += 1;
    if (strcmp(key, "control") == 0) copy(settings->control, values[i]);
    else if (strcmp(key, "record") == 0) copy(settings->record, values[i]);
    else if (strcmp(key, "enable_cuda_graph") == 0) settings->is_graph = values[i][0] == '1';
    else if (strcmp(key, "engines") == 0) copy(settings->engines, values[i]);
    else if (strcmp(key, "fail_after") == 0) settings->fail_after = atol(values[i]);
    else snprintf(line + strlen(line), line_bytes - strlen(line), " %s=%s", key, values[i]);
  }
  CALL(api, RELEASE_KEY_VALUES, void, Handle)(pairs);
}

/* ---- Memory of its own ---- */

enum { ON_CPU = 0, ON_GPU = 1, OWN = 0, PINNED = 5, OTHER = 0x5A };

/* Where what is copied is written down: of the session that was made last. */
static char copies[512];
static atomic_long live;

/* How many pieces of its memory somebody has. */
long fake_live(void) { return atomic_load(&live); }

static void *turn(void *to, const void *from, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) ((unsigned char *)to)[i] = ((const unsigned char *)from)[i] ^ OTHER;
  return to;
}

static bool is_own(Handle value) {
  const void *device = CALL(ep_api, DEVICE_OF_VALUE, const void *, const void *)(value);
  return CALL(ep_api, KIND_OF_DEVICE, int, const void *)(device) == ON_GPU && CALL(ep_api, MEMORY_OF_DEVICE, int, const void *)(device) == OWN;
}

typedef struct {
  uint32_t version;
  void *(*alloc)(void *, size_t);
  void (*free)(void *, void *);
  const void *(*info)(const void *);
  void *(*reserve)(void *, size_t);
  void *optional[8];
  const void *memory;
} Allocator;

static void *take(void *self, size_t bytes) { (void)self; atomic_fetch_add(&live, 1); return malloc(bytes ? bytes : 1); }
static void give(void *self, void *piece) { (void)self; if (piece) atomic_fetch_sub(&live, 1); free(piece); }
static const void *memory_of(const void *self) { return ((const Allocator *)self)->memory; }

static Status make_allocator(void *self, const void *memory, const void *options, Handle *out) {
  Allocator *allocator = calloc(1, sizeof *allocator);
  (void)self, (void)options;
  *allocator = (Allocator){ API, take, give, memory_of, take, { 0 }, memory };
  *out = allocator;
  return NULL;
}

typedef struct {
  uint32_t version;
  void (*release)(void *);
  bool (*can_copy)(const void *, const void *, const void *);
  Status (*copy)(void *, const Handle *, Handle *, Handle *, size_t);
} Transfer;

static void keep(void *self) { (void)self; }

static bool can_copy(const void *self, const void *from, const void *to) {
  (void)self;
  return CALL(ep_api, KIND_OF_DEVICE, int, const void *)(from) == ON_GPU || CALL(ep_api, KIND_OF_DEVICE, int, const void *)(to) == ON_GPU;
}

static const char *name_of(Handle value) {
  const void *device = CALL(ep_api, DEVICE_OF_VALUE, const void *, const void *)(value);
  if (CALL(ep_api, KIND_OF_DEVICE, int, const void *)(device) != ON_GPU) return "host";
  return is_own(value) ? "device" : "pinned";
}

static Status copy_tensors(void *self, const Handle *from, Handle *to, Handle *streams, size_t count) {
  char line[64];
  (void)self, (void)streams;
  for (size_t i = 0; i < count; i++) {
    void *source, *target;
    size_t bytes = 0;
    CALL(api, TENSOR_BYTES, Status, const void *, size_t *)(from[i], &bytes);
    CALL(api, GET_DATA, Status, const void *, void **)(from[i], &source);
    CALL(api, GET_DATA, Status, const void *, void **)(to[i], &target);
    if (is_own(from[i]) == is_own(to[i])) memmove(target, source, bytes);
    else turn(target, source, bytes);
  }
  snprintf(line, sizeof line, "%s>%s %zu", name_of(from[0]), name_of(to[0]), count);
  Settings settings = { .fail_after = 0 };
  copy(settings.record, copies);
  record(&settings, line);
  return NULL;
}

static Status make_transfer(void *self, Handle *out) {
  static Transfer transfer = { API, keep, can_copy, copy_tensors };
  (void)self;
  *out = &transfer;
  return NULL;
}

/* ---- One node ---- */

typedef struct Ep Ep;

typedef struct {
  uint32_t version;
  Status (*create_state)(void *, Handle, void **);
  Status (*compute)(void *, void *, Handle);
  void (*release_state)(void *, void *);
  Ep *ep;
  char op;
  bool is_graph;
  bool is_captured;
  void *places[3];
} Node;

typedef struct { void *data; void *own; size_t bytes; int type; size_t rank; int64_t dims[RANK_MAX]; } Tensor;

static Status read_tensor(Handle value, Tensor *tensor) {
  Handle info;
  Status failed = CALL(api, GET_INFO, Status, Handle, Handle *)(value, &info);
  if (failed) return failed;
  CALL(api, GET_TYPE, Status, Handle, int *)(info, &tensor->type);
  CALL(api, GET_RANK, Status, Handle, size_t *)(info, &tensor->rank);
  if (tensor->rank > RANK_MAX) return status(NOT_IMPLEMENTED, "the fake provider knows 8 dimensions at most");
  CALL(api, GET_DIMS, Status, Handle, int64_t *, size_t)(info, tensor->dims, tensor->rank);
  CALL(api, RELEASE_INFO, void, Handle)(info);
  failed = CALL(api, GET_DATA, Status, Handle, void **)(value, &tensor->data);
  if (failed || !is_own(value)) return failed;
  /* The kernels are the processor's: they work on a piece that it can read. */
  CALL(api, TENSOR_BYTES, Status, const void *, size_t *)(value, &tensor->bytes);
  tensor->own = tensor->data;
  tensor->data = turn(malloc(tensor->bytes + 1), tensor->own, tensor->bytes);
  return NULL;
}

static void give_back(Tensor *tensor, bool is_written) {
  if (!tensor->own) return;
  if (is_written) turn(tensor->own, tensor->data, tensor->bytes);
  free(tensor->data);
  tensor->own = NULL;
}

static int64_t dim(const Tensor *tensor, size_t rank, size_t axis) {
  size_t missing = rank - tensor->rank;
  return axis < missing ? 1 : tensor->dims[axis - missing];
}

/* Where the element of an operand lies that meets the given one of the output: operands of size 1 stand for all. */
static size_t place(const Tensor *operand, const Tensor *out, size_t index) {
  size_t at = 0, step = 1;
  for (size_t axis = out->rank; axis-- > 0;) {
    int64_t size = dim(operand, out->rank, axis);
    size_t here = index % (size_t)out->dims[axis];
    index /= (size_t)out->dims[axis];
    if (size != 1) at += here * step;
    step *= (size_t)size;
  }
  return at;
}

#define APPLY(T)                                                              \
  for (size_t i = 0; i < count; i++) {                                        \
    T x = ((T *)a->data)[place(a, out, i)], y = ((T *)b->data)[place(b, out, i)]; \
    ((T *)out->data)[i] = op == '+' ? x + y : op == '-' ? x - y : op == '*' ? x * y : x; \
  }

static Status apply(char op, const Tensor *a, const Tensor *b, Tensor *out) {
  size_t count = 1;
  for (size_t axis = 0; axis < out->rank; axis++) count *= (size_t)out->dims[axis];
  if (a->type == FLOAT) { APPLY(float) }
  else if (a->type == INT32) { APPLY(int32_t) }
  else if (a->type == INT64) { APPLY(int64_t) }
  else return status(NOT_IMPLEMENTED, "the fake provider knows FP32, INT32 and INT64");
  return NULL;
}

/* The first time these places are kept, later they stand for those that were given. */
static void replay(Node *node, Tensor *in, Tensor *out) {
  if (!node->is_graph) return;
  Tensor *tensors[3] = { &in[0], &in[1], out };
  for (size_t i = 0; i < 3; i++) {
    if (!node->is_captured) node->places[i] = tensors[i]->own;
    if (!tensors[i]->own) continue;
    tensors[i]->own = node->places[i];
    turn(tensors[i]->data, tensors[i]->own, tensors[i]->bytes);
  }
  node->is_captured = true;
}

static Status run(Node *node, Handle context) {
  Tensor in[2] = { { 0 }, { 0 } }, out = { 0 };
  size_t inputs = 0;
  CALL(api, INPUT_COUNT, Status, Handle, size_t *)(context, &inputs);
  for (size_t i = 0; i < 2; i++) {
    const void *value = NULL;
    /* A node whose operands are one and the same has it once. */
    CALL(api, GET_INPUT, Status, Handle, size_t, const void **)(context, i < inputs ? i : 0, &value);
    Status failed = read_tensor((Handle)value, &in[i]);
    if (failed) return failed;
  }
  out.rank = in[0].rank > in[1].rank ? in[0].rank : in[1].rank;
  for (size_t axis = 0; axis < out.rank; axis++) {
    int64_t a = dim(&in[0], out.rank, axis), b = dim(&in[1], out.rank, axis);
    if (a != b && a != 1 && b != 1) return status(FAIL, "the operands do not fit together");
    out.dims[axis] = a == 1 ? b : a;
  }
  Handle value;
  Status failed = CALL(api, GET_OUTPUT, Status, Handle, size_t, const int64_t *, size_t, Handle *)(context, 0, out.dims, out.rank, &value);
  if (!failed) failed = read_tensor(value, &out);
  if (!failed) replay(node, in, &out);
  if (!failed) failed = apply(node->op, &in[0], &in[1], &out);
  give_back(&in[0], false);
  give_back(&in[1], false);
  give_back(&out, true);
  return failed;
}

/* ---- One session's provider ---- */

struct Ep {
  uint32_t version;
  const char *(*get_name)(const void *);
  Status (*get_capability)(void *, const void *, Handle);
  Status (*compile)(void *, const void **, const void **, size_t, Node **, Handle *);
  void (*release_nodes)(void *, Node **, size_t);
  /* What is optional, and left out: layouts, dynamic options, start and end of runs, allocators, streams, kernels. */
  void *optional[16];
  Settings settings;
  atomic_long runs;
};

static char operation(const void *node) {
  const char *type = "";
  CALL(api, OPERATOR, Status, const void *, const char **)(node, &type);
  return !strcmp(type, "Add") ? '+' : !strcmp(type, "Sub") ? '-' : !strcmp(type, "Mul") ? '*' : !strcmp(type, "Identity") ? '=' : 0;
}

static size_t nodes_of(const void *graph, const void **nodes) {
  size_t count = 0;
  CALL(api, NODE_COUNT, Status, const void *, size_t *)(graph, &count);
  if (count > NODES_MAX) count = 0;
  CALL(api, NODES, Status, const void *, const void **, size_t)(graph, nodes, count);
  return count;
}

static Status get_capability(void *self, const void *graph, Handle support) {
  static _Thread_local const void *nodes[NODES_MAX];
  (void)self;
  size_t count = nodes_of(graph, nodes);
  for (size_t i = 0; i < count; i++) {
    if (!operation(nodes[i])) continue;
    Status failed = CALL(ep_api, ADD_NODES_TO_FUSE, Status, Handle, const void *const *, size_t, const void *)(support, &nodes[i], 1, NULL);
    if (failed) return failed;
  }
  return NULL;
}

static Status lost(void) { return status(EP_FAIL, "fake device lost: it does not answer any more"); }

static Status create_state(void *self, Handle context, void **state) {
  (void)context;
  *state = self;
  return NULL;
}

static void release_state(void *self, void *state) { (void)self, (void)state; }

static Status compute(void *self, void *state, Handle context) {
  Node *node = self;
  Ep *ep = node->ep;
  (void)state;
  record(&ep->settings, "run");
  if (is_told(&ep->settings, "lost")) atomic_store(&is_lost, true);
  if (atomic_load(&is_lost)) return lost();
  if (is_told(&ep->settings, "fail")) return status(FAIL, "fake kernel failed: told to by the control file");
  long runs = atomic_fetch_add(&ep->runs, 1);
  if (ep->settings.fail_after >= 0 && runs >= ep->settings.fail_after) return status(FAIL, "fake kernel failed: that was the last run");
  return run(node, context);
}

static Status read_or_build(const Settings *settings) {
  static const char engine[] = "a fake engine";
  char path[600], text[32] = "";
  snprintf(path, sizeof path, "%s/fake.engine", settings->engines);
  FILE *file = fopen(path, "r");
  if (file) {
    if (!fgets(text, sizeof text, file)) text[0] = 0;
    fclose(file);
    if (strcmp(text, engine) != 0) return status(FAIL, "the engine is none of this provider's");
    record(settings, "engine read");
    return NULL;
  }
  while (is_told(settings, "hold")) usleep(5000);
  file = fopen(path, "w");
  if (!file) return status(FAIL, "the engine cannot be written");
  fputs(engine, file);
  fclose(file);
  record(settings, "engine built");
  return NULL;
}

static Status compile(void *self, const void **graphs, const void **fused, size_t count, Node **nodes, Handle *contexts) {
  static _Thread_local const void *inner[NODES_MAX];
  (void)fused, (void)contexts;
  const Settings *settings = &((Ep *)self)->settings;
  if (settings->engines[0]) {
    Status failed = read_or_build(settings);
    if (failed) return failed;
  }
  for (size_t i = 0; i < count; i++) {
    nodes_of(graphs[i], inner);
    nodes[i] = calloc(1, sizeof(Node));
    *nodes[i] = (Node){ API, create_state, compute, release_state, self, operation(inner[0]), ((Ep *)self)->settings.is_graph, false, { 0 } };
  }
  return NULL;
}

static void release_nodes(void *self, Node **nodes, size_t count) {
  (void)self;
  for (size_t i = 0; i < count; i++) free(nodes[i]);
}

/* ---- The library ---- */

typedef struct {
  uint32_t version;
  const char *(*get_name)(const void *);
  const char *(*get_vendor)(const void *);
  Status (*get_devices)(void *, const void *const *, size_t, Handle *, size_t, size_t *);
  Status (*create_ep)(void *, const void *const *, const void *const *, size_t, const void *, const void *, Ep **);
  void (*release_ep)(void *, Ep *);
  uint32_t (*get_vendor_id)(const void *);
  const char *(*get_version)(const void *);
  Status (*validate)(void *, const void *const *, size_t, const char *, int *);
  Status (*create_allocator)(void *, const void *, const void *, Handle *);
  void (*release_allocator)(void *, Handle);
  Status (*create_transfer)(void *, Handle *);
  bool (*is_stream_aware)(const void *);
  Status (*create_stream)(void *, const void *, const void *, Handle *);
  void *optional[16];
} Factory;

static const size_t devices_max = DEVICES;

static const char *get_name(const void *self) { (void)self; return EP_NAME; }
static const char *get_vendor(const void *self) { (void)self; return "Limpet's tests"; }
static const char *get_version(const void *self) { (void)self; return "1.2.3"; }
static uint32_t get_vendor_id(const void *self) { (void)self; return 0xfade; }
static bool is_stream_aware(const void *self) { (void)self; return false; }
static void release_ep(void *self, Ep *ep) { (void)self; free(ep); }
static void release_allocator(void *self, Handle allocator) { (void)self; free(allocator); }
#ifdef DEVICE_MEMORY
static Status create_transfer(void *self, Handle *out) { return make_transfer(self, out); }
static Status create_allocator(void *self, const void *memory, const void *options, Handle *out) {
  return make_allocator(self, memory, options, out);
}

static Status add_memory(Handle device) {
  static Handle own, pinned;
  if (!own) {
    CALL(api, CREATE_MEMORY, Status, const char *, int, uint32_t, int, int, size_t, int, Handle *)("Fake", ON_GPU, 0xfade, 0, OWN, 0, 0, &own);
    CALL(api, CREATE_MEMORY, Status, const char *, int, uint32_t, int, int, size_t, int, Handle *)("FakePinned", ON_GPU, 0xfade, 0, PINNED, 0, 0, &pinned);
  }
  Status failed = CALL(ep_api, ADD_ALLOCATOR, Status, Handle, const void *)(device, own);
#ifndef NO_PINNED
  if (!failed) failed = CALL(ep_api, ADD_ALLOCATOR, Status, Handle, const void *)(device, pinned);
#endif
  return failed;
}
#else
static Status create_transfer(void *self, Handle *out) { (void)self, (void)make_transfer; *out = NULL; return NULL; }
static Status create_allocator(void *self, const void *memory, const void *options, Handle *out) {
  (void)self, (void)memory, (void)options, (void)make_allocator;
  *out = NULL;
  return NULL;
}
static Status add_memory(Handle device) { (void)device; return NULL; }
#endif
static Status create_stream(void *self, const void *memory, const void *options, Handle *out) {
  (void)self, (void)memory, (void)options;
  *out = NULL;
  return NULL;
}
static Status validate(void *self, const void *const *devices, size_t count, const char *text, int *out) {
  (void)self, (void)devices, (void)count, (void)text;
  *out = 0;
  return NULL;
}

static Status get_devices(void *self, const void *const *devices, size_t count, Handle *out, size_t max, size_t *found) {
  *found = 0;
  for (size_t i = 0; i < count && *found < max && *found < devices_max; i++) {
    if (CALL(api, DEVICE_TYPE, int, const void *)(devices[i]) != 0) continue;
    Status failed = CALL(ep_api, CREATE_EP_DEVICE, Status, void *, const void *, const void *, const void *, Handle *)(self, devices[i], NULL, NULL, &out[*found]);
    if (!failed) failed = add_memory(out[*found]);
    if (failed) return failed;
    *found += 1;
  }
  return NULL;
}

static Status create_ep(void *self, const void *const *devices, const void *const *metadata, size_t count, const void *options, const void *log, Ep **out) {
  char line[4096] = "session";
  Ep *ep = calloc(1, sizeof(Ep));
  (void)self, (void)devices, (void)metadata, (void)count, (void)log;
  ep->version = API;
  ep->get_name = get_name;
  ep->get_capability = get_capability;
  ep->compile = compile;
  ep->release_nodes = release_nodes;
  read_options(options, &ep->settings, line, sizeof line);
  record(&ep->settings, line);
  copy(copies, ep->settings.record);
  const bool is_refused = is_told(&ep->settings, "refuse");
  if (is_refused || atomic_load(&is_lost)) {
    free(ep);
    return is_refused ? status(EP_FAIL, "fake device is busy: told to by the control file") : lost();
  }
  *out = ep;
  return NULL;
}

Status CreateEpFactories(const char *name, const ApiBase *base, const void *log, Factory **factories, size_t max, size_t *count) {
  (void)name, (void)log, (void)max;
  api = base->get_api(API);
  if (!api) {
    char text[160];
    snprintf(text, sizeof text, "the fake provider was built for version %d of the API, which ONNX Runtime %s does not have", API, base->get_version());
    api = base->get_api(23);
    return status(FAIL, text);
  }
  ep_api = CALL(api, GET_EP_API, const Function *, void)();
  static Factory factory = {
    API, get_name, get_vendor, get_devices, create_ep, release_ep, get_vendor_id, get_version, validate,
    create_allocator, release_allocator, create_transfer, is_stream_aware, create_stream, { 0 }
  };
  factories[0] = &factory;
  *count = 1;
  return NULL;
}

Status ReleaseEpFactory(Factory *factory) { (void)factory; return NULL; }
