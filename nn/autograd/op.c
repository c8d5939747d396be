/* op.c -- the table of rows, and the language their signatures are written in.
 *
 * A signature lists arguments in order, those in braces by name:
 *   "x:tensor weight:tensor bias:tensor? {stride:integer=1 >=1, reduction:mean|sum|none=mean}"
 * name:kind, then `?` when it may be absent, `=default`, and bounds `>=n >n <=n <n`. A kind with bars is a choice.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/op.h"

static const nn_op *const families[] = {
  nn_ops_arithmetic, nn_ops_pointwise, nn_ops_reduce, nn_ops_softmax, nn_ops_matmul, nn_ops_shape, nn_ops_gather,
  nn_ops_conv, nn_ops_pool, nn_ops_norm, nn_ops_dropout, nn_ops_loss, nn_ops_resize,
};
enum { FAMILIES = sizeof families / sizeof *families, MAX_OPS = 160 };

static struct {
  const nn_op *op;
  nn_signature signature;
} table[MAX_OPS];
static int ops;

int nni_ops_start(void) {
  if (ops) return NN_OK;
  for (int f = 0; f < FAMILIES; f++) {
    for (const nn_op *op = families[f]; op->name; op++) {
      if (ops == MAX_OPS) return nn_fail(NN_ESTATE, "more op rows than the table holds");
      int status = nn_signature_parse(op->signature, &table[ops].signature);
      if (status != NN_OK) return nn_fail_prefix(status, op->name);
      table[ops++].op = op;
    }
  }
  return NN_OK;
}

int nn_op_count(void) { return ops; }
const nn_op *nn_op_at(int place) { return table[place].op; }

static int place_of(const nn_op *op) {
  for (int i = 0; i < ops; i++)
    if (table[i].op == op) return i;
  return -1;
}

const nn_op *nn_op_find(const char *name) {
  for (int i = 0; i < ops; i++)
    if (strcmp(table[i].op->name, name) == 0) return table[i].op;
  return NULL;
}

const char *nn_op_name(const nn_op *op) { return op->name; }
const char *nn_op_signature_text(const nn_op *op) { return op->signature; }
const nn_signature *nn_op_signature(const nn_op *op) { return &table[place_of(op)].signature; }
const char *nn_op_doc(const nn_op *op) { return op->doc; }
const char *nn_op_returns(const nn_op *op) { return op->returns; }
const char *nn_op_example(const nn_op *op) { return op->example; }
const char *nn_op_check(const nn_op *op) { return op->check; }
bool nn_op_differentiable(const nn_op *op) { return op->backward != NULL; }

double nni_flops(const nn_call *c) {
  return c->op->flops ? c->op->flops(c) : (double)nni_shape_count(&c->y_shape);
}

double nni_flops_none(const nn_call *c) {
  (void)c;
  return 0;
}

int nni_shape_same(nn_call *c) {
  c->y_shape = c->x_shape[0];
  return NN_OK;
}

/* ---- signatures ---- */

static const struct {
  const char *word;
  nn_arg_kind kind;
} kinds[] = {
  { "tensor", NN_ARG_TENSOR },   { "any", NN_ARG_ANY },         { "index", NN_ARG_INDEX },
  { "tensors", NN_ARG_TENSORS }, { "number", NN_ARG_NUMBER },   { "integer", NN_ARG_INTEGER },
  { "boolean", NN_ARG_BOOLEAN }, { "axis", NN_ARG_AXIS },       { "axes", NN_ARG_AXES },
  { "position", NN_ARG_POSITION }, { "sizes", NN_ARG_SIZES },   { "numbers", NN_ARG_NUMBERS },
};

static int find_kind(const char *text, size_t length, nn_arg *arg) {
  if (memchr(text, '|', length)) {
    arg->kind = NN_ARG_CHOICE;
    arg->choices = text;
    return NN_OK;
  }
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    if (strlen(kinds[i].word) == length && memcmp(kinds[i].word, text, length) == 0) {
      arg->kind = kinds[i].kind;
      return NN_OK;
    }
  }
  return nn_fail(NN_EARGUMENT, "signature: unknown kind %.*s", (int)length, text);
}

int nn_choice_find(const nn_arg *arg, const char *word, size_t length) {
  const char *p = arg->choices;
  for (int i = 0;; i++) {
    size_t n = strcspn(p, "|=?,} ");
    if (n == length && memcmp(p, word, n) == 0) return i;
    if (p[n] != '|') return -1;
    p += n + 1;
  }
}

static int parse_default(const char *text, size_t length, nn_arg *arg) {
  nn_param *d = &arg->fallback;
  arg->optional = true;
  if (arg->kind == NN_ARG_CHOICE) {
    d->integer = nn_choice_find(arg, text, length);
    if (d->integer < 0) return nn_fail(NN_EARGUMENT, "signature: default of %s is not a choice", arg->name);
  } else if (arg->kind == NN_ARG_BOOLEAN) {
    d->integer = memcmp(text, "true", 4) == 0;
  } else {
    d->number = strtod(text, NULL);
    d->integer = (int64_t)d->number;
  }
  d->given = true;
  return NN_OK;
}

static const char *parse_bound(const char *p, nn_arg *arg) {
  bool low = *p++ == '>', closed = *p == '=';
  char *end;
  double value = strtod(p + closed, &end);
  if (low) arg->has_min = true, arg->min = value, arg->min_open = !closed;
  else arg->has_max = true, arg->max = value, arg->max_open = !closed;
  return end;
}

int nn_signature_parse(const char *text, nn_signature *s) {
  memset(s, 0, sizeof *s);
  bool braces = false;
  for (const char *p = text; *p;) {
    if (*p == '{' || *p == '}' || *p == ' ' || *p == ',') {
      if (*p == '{') braces = true;
      p++;
      continue;
    }
    if (*p == '>' || *p == '<') {
      p = parse_bound(p, &s->arg[s->args - 1]);
      continue;
    }
    size_t name = strcspn(p, ":"), kind = strcspn(p + name + 1, "?=,} ");
    if (s->args == 16 || name >= sizeof s->arg->name || p[name] != ':')
      return nn_fail(NN_EARGUMENT, "signature: cannot read \"%s\"", p);
    nn_arg *arg = &s->arg[s->args++];
    memcpy(arg->name, p, name);
    arg->option = braces;
    p += name + 1;
    int status = find_kind(p, kind, arg);
    if (status != NN_OK) return status;
    p += kind;
    if (*p == '?') arg->optional = true, p++;
    if (*p == '=') {
      size_t length = strcspn(++p, ",} ");
      status = parse_default(p, length, arg);
      if (status != NN_OK) return status;
      p += length;
    }
    bool tensor = arg->kind <= NN_ARG_TENSORS;
    arg->tensor = tensor ? s->tensors++ : -1;
    arg->value = tensor ? -1 : s->values++;
  }
  return s->values > NN_MAX_PARAMS ? nn_fail(NN_EARGUMENT, "signature: more than %d values", NN_MAX_PARAMS) : NN_OK;
}

static bool outside(const nn_arg *arg, double value) {
  return isnan(value) || (arg->has_min && (arg->min_open ? value <= arg->min : value < arg->min)) ||
         (arg->has_max && (arg->max_open ? value >= arg->max : value > arg->max));
}

/* "at least 0 and below 1" */
static const char *describe_bounds(const nn_arg *arg, char *text, size_t room) {
  int used = 0;
  text[0] = '\0';
  if (arg->has_min) used = snprintf(text, room, "%s %g", arg->min_open ? "above" : "at least", arg->min);
  if (arg->has_max) {
    snprintf(text + used, room - (size_t)used, "%s%s %g", used ? " and " : "", arg->max_open ? "below" : "at most",
             arg->max);
  }
  return text[0] ? text : "a number";
}

static int check_bounds(const nn_arg *arg, double value) {
  char text[80];
  if (!outside(arg, value)) return NN_OK;
  return nn_fail(NN_EARGUMENT, "%s must be %s, got %g", arg->name, describe_bounds(arg, text, sizeof text), value);
}

int nn_arg_check(const nn_arg *arg, const nn_param *param) {
  int status = NN_OK;
  if (!param->given) return NN_OK;
  switch (arg->kind) {
    case NN_ARG_NUMBER: return check_bounds(arg, param->number);
    case NN_ARG_INTEGER: return check_bounds(arg, (double)param->integer);
    case NN_ARG_SIZES:
      for (int i = 0; i < param->count && status == NN_OK; i++) status = check_bounds(arg, (double)param->list[i]);
      return status;
    case NN_ARG_NUMBERS:
      for (int i = 0; i < param->count && status == NN_OK; i++) status = check_bounds(arg, param->numbers[i]);
      return status;
    default: return NN_OK;
  }
}
