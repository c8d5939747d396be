/* jpeg.c -- JPEG files, through libjpeg-turbo.
 *
 * libjpeg reports an error by a long jump: everything that must be freed hangs at the struct that holds the jump's
 * target, is freed by the function that owns the struct, and no local variable that changes after setjmp is read after
 * a jump.
 *
 * What libjpeg calls a warning about damaged data is an error here: it would fill in grey and go on.
 */
#include <ctype.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

#include "formats/file.h"
#include "image/codec.h"

/* A window's rows come from a crop that is this much wider on each side, for libjpeg's smooth upsampling looks at the
 * neighbouring column of chroma, and takes the crop's edge for the picture's. */
enum { MARGIN = 8 };

/* Each scan of a progressive file visits every block, though it may take only a few bytes: what all scans of a file may
 * visit together is limited, as is their number. (Encoders write about ten.) */
enum { MAX_SCANS = 500 };
#define MAX_SCANNED_PIXELS ((int64_t)1 << 31)

/* One byte of a file can hold no more pixels than this: a block of 64 takes at least a bit, and may stand for sixteen
 * blocks of the picture when its component is stored at a quarter of the sides. */
enum { MAX_PIXELS_PER_BYTE = 8 * 64 * 16 };

/* Cameras leave a few bytes of padding before the end marker; more than that is lost data. */
enum { MAX_PADDING = 16, END_MARKER = 0xD9 };

typedef struct {
  struct jpeg_decompress_struct info;
  struct jpeg_error_mgr errors;
  struct jpeg_progress_mgr progress;
  jmp_buf jump;
  const nni_source *source;
  bool damaged_is_fine;
  int status;    /* of the failure that jumped; its message is left with nn_fail */
  uint8_t *line; /* a decoded row that does not go to the picture as it is */
} jpeg_reader;

static void leave(jpeg_reader *r, int status) {
  r->status = status;
  longjmp(r->jump, 1);
}

/* Leaves with libjpeg's current message, and where in the file it was reading. */
static void on_error(j_common_ptr common) {
  jpeg_reader *r = common->client_data;
  char text[JMSG_LENGTH_MAX], at[32];
  common->err->format_message(common, text);
  if (islower((unsigned char)text[1])) text[0] = (char)tolower((unsigned char)text[0]);
  /* at the end libjpeg reads on in an end marker of its own */
  uintptr_t next = r->info.src ? (uintptr_t)r->info.src->next_input_byte : 0, start = (uintptr_t)r->source->bytes;
  bool inside = next >= start && next - start < r->source->size && common->err->msg_code != JWRN_JPEG_EOF;
  size_t offset = inside ? next - start : r->source->size;
  int status = common->err->msg_code == JERR_OUT_OF_MEMORY ? NN_EMEMORY : NN_EFORMAT;
  leave(r, nn_fail(status, "%s: jpeg: %s at offset %s", r->source->name, text, nni_grouped(at, offset)));
}

/* level -1: the data are not as they should be; others: traces of what is read. */
static void on_message(j_common_ptr common, int level) {
  jpeg_reader *r = common->client_data;
  if (level >= 0 || r->damaged_is_fine) return;
  const int *number = common->err->msg_parm.i;
  switch (common->err->msg_code) {
    case JWRN_ADOBE_XFORM:  /* a marker that says nothing we use */
    case JWRN_JFIF_MAJOR: return;
    case JWRN_EXTRANEOUS_DATA:
      if (number[0] <= MAX_PADDING && number[1] == END_MARKER) return;
  }
  on_error(common);
}

static void on_progress(j_common_ptr common) {
  jpeg_reader *r = common->client_data;
  int64_t scans = r->info.input_scan_number, pixels = (int64_t)r->info.image_height * r->info.image_width;
  if (scans > MAX_SCANS || (scans > 1 && scans * pixels > MAX_SCANNED_PIXELS))
    leave(r, nn_fail(NN_EFORMAT, "%s: jpeg: too many scans for a picture of %ux%u: %d", r->source->name,
                     r->info.image_width, r->info.image_height, r->info.input_scan_number));
  int status = nn_interrupt_check();
  if (status != NN_OK) leave(r, status);
}

/* Then the caller sets the jump and calls read_header; jpeg_destroy_decompress in any case. */
static void prepare(jpeg_reader *r, const nni_source *source) {
  memset(r, 0, sizeof *r);
  r->source = source;
  r->info.err = jpeg_std_error(&r->errors);
  r->errors.error_exit = on_error;
  r->errors.emit_message = on_message;
  r->info.client_data = r;
  r->progress.progress_monitor = on_progress;
}

static void read_header(jpeg_reader *r) {
  jpeg_create_decompress(&r->info);
  r->info.progress = &r->progress;
  jpeg_mem_src(&r->info, r->source->bytes, r->source->size);
  jpeg_read_header(&r->info, TRUE);
  int components = r->info.num_components;
  if (components != 1 && components != 3 && components != 4)
    leave(r, nn_fail(NN_EFORMAT, "%s: jpeg: 1, 3 or 4 components expected, found %d", r->source->name, components));
}

/* ---- the header ---- */

/* From the first APP1 segment that holds EXIF. */
static int find_orientation(const nni_source *s) {
  enum { FILL = 0xFF, SCAN = 0xDA, APP1 = 0xE1 };
  static const char head[6] = "Exif\0";
  size_t at = 2;
  while (at < s->size && s->size - at >= 4 && s->bytes[at] == FILL) {
    const uint8_t *p = s->bytes + at;
    size_t length = (size_t)p[2] << 8 | p[3], left = s->size - at - 2;
    if (p[1] == FILL) {
      at++;
      continue;
    }
    if (p[1] == SCAN || length < 2 || length > left) break;
    if (p[1] == APP1 && length >= 2 + sizeof head && memcmp(p + 4, head, sizeof head) == 0)
      return nni_exif_orientation(p + 4 + sizeof head, length - 2 - sizeof head);
    at += 2 + length;
  }
  return 1;
}

static int read_about(jpeg_reader *r, nn_image_about *about) {
  if (setjmp(r->jump)) return r->status;
  read_header(r);
  *about = (nn_image_about){
    .format = NN_JPEG,
    .height = r->info.image_height,
    .width = r->info.image_width,
    .channels = r->info.num_components == 1 ? 1 : 3,
    .depth = 8,
    .orientation = find_orientation(r->source),
    .progressive = r->info.progressive_mode,
  };
  return NN_OK;
}

int nni_jpeg_about(const nni_source *source, nn_image_about *about) {
  jpeg_reader r;
  prepare(&r, source);
  int status = read_about(&r, about);
  jpeg_destroy_decompress(&r.info);
  return status;
}

/* ---- pixels ---- */

/* Inks as Adobe stores them, 255 for none: out = ink * key / 255, rounded. (Pillow and torchvision read every file with
 * four components so, with the marker or without.) */
static void inks_to_colours(uint8_t *restrict out, const uint8_t *restrict inks, int64_t count, int channels) {
  for (int64_t i = 0; i < count; i++) {
    for (int c = 0; c < 3; c++) {
      unsigned key = inks[4 * i + 3], product = (255u - inks[4 * i + c]) * key + 128;
      out[channels * i + c] = (uint8_t)(key - ((product + (product >> 8)) >> 8));
    }
    if (channels == 4) out[4 * i + 3] = 255;
  }
}

static void choose_output(struct jpeg_decompress_struct *info, const nni_stored_decode *how) {
  info->scale_num = 1;
  info->scale_denom = how->scale > 1 ? (unsigned)how->scale : 1;
  if (info->num_components == 4) info->out_color_space = JCS_CMYK;
  else if (info->num_components == 1 && how->channels <= 1) info->out_color_space = JCS_GRAYSCALE;
  else info->out_color_space = how->channels == 4 ? JCS_EXT_RGBA : JCS_RGB;
}

/* Where a progressive file ends before it gave the lowest waves, libjpeg makes them up from the blocks around, and
 * would take a crop's edge for the picture's. */
static bool smoothed(const struct jpeg_decompress_struct *info) {
  enum { LOWEST = 10 };
  for (int c = 0; info->coef_bits && c < info->num_components; c++)
    for (int k = 1; k < LOWEST; k++)
      if (info->coef_bits[c][k] != 0) return true;
  return false;
}

/* Are components stored as encoders do it: whole, or all subsampled alike, to a half at most? */
static bool usual_sampling(const struct jpeg_decompress_struct *info) {
  int h = info->max_h_samp_factor, v = info->max_v_samp_factor;
  for (int c = 0; c < info->num_components; c++) {
    int own_h = info->comp_info[c].h_samp_factor, own_v = info->comp_info[c].v_samp_factor;
    if (!(own_h == h && own_v == v) && !(own_h == 1 && own_v == 1)) return false;
  }
  return h <= 2 && v <= 2;
}

/* Must whole rows be decoded, all of them, for the pixels of a window? libjpeg crops other samplings wrongly. */
static bool needs_whole(const struct jpeg_decompress_struct *info) {
  return smoothed(info) || !usual_sampling(info);
}

/* The columns that libjpeg is to make: `left` is the first of them. */
static JDIMENSION crop(struct jpeg_decompress_struct *info, const nni_stored_decode *how) {
  JDIMENSION left = 0, end = info->output_width;
  if (needs_whole(info)) return left;
  if (how->left > MARGIN) left = (JDIMENSION)how->left - MARGIN;
  if (how->left + how->width + MARGIN < (int64_t)end) end = (JDIMENSION)(how->left + how->width) + MARGIN;
  JDIMENSION width = end - left;
  if (width < info->output_width) jpeg_crop_scanline(info, &left, &width);
  return left;
}

static int read_pixels(jpeg_reader *r, const nni_stored_decode *how, nni_picture *out) {
  if (setjmp(r->jump)) return r->status;
  struct jpeg_decompress_struct *info = &r->info;
  read_header(r);
  int64_t most = how->max_pixels ? how->max_pixels : NNI_MAX_PIXELS;
  int64_t pixels = (int64_t)info->image_height * info->image_width;
  if (!info->arith_code && pixels / MAX_PIXELS_PER_BYTE > (int64_t)r->source->size)
    return nn_fail(NN_EFORMAT, "%s: jpeg: %ux%u pixels declared, more than the file's %zu bytes can hold",
                   r->source->name, info->image_width, info->image_height, r->source->size);
  /* of progressive files, libjpeg keeps two bytes for each sample */
  info->mem->max_memory_to_use = (long)(most < INT64_MAX / 16 ? 8 * most : INT64_MAX / 2) + (64l << 20);
  choose_output(info, how);
  jpeg_start_decompress(info);

  bool inks = info->out_color_space == JCS_CMYK;
  int channels = inks ? how->channels == 4 ? 4 : 3 : info->output_components;
  int64_t first = how->left - crop(info, how);
  int status = nni_picture_shape(out, how->height, how->width, channels, 8);
  if (status != NN_OK) return nn_fail_prefix(status, r->source->name);
  bool whole_rows = needs_whole(info), straight = !inks && info->output_width == how->width && !whole_rows;
  if (!straight && !(r->line = nn_memory_get((size_t)info->output_width * (size_t)info->output_components)))
    return nn_fail(NN_EMEMORY, "%s: out of memory", r->source->name);

  for (int64_t y = 0; y < how->top && whole_rows; y++) jpeg_read_scanlines(info, &r->line, 1);
  if (how->top > 0 && !whole_rows) jpeg_skip_scanlines(info, (JDIMENSION)how->top);
  int64_t pitch = how->width * channels;
  for (int64_t y = 0; y < how->height; y++) {
    uint8_t *row = out->pixels + y * pitch, *to = straight ? row : r->line;
    jpeg_read_scanlines(info, &to, 1);
    if (inks) inks_to_colours(row, r->line + first * 4, how->width, channels);
    else if (!straight) memcpy(row, r->line + first * channels, (size_t)pitch);
  }
  /* to the end of the file, if the rest of it was used: it may be damaged there */
  if (info->output_scanline == info->output_height) jpeg_finish_decompress(info);
  return NN_OK;
}

int nni_jpeg_decode(const nni_source *source, const nni_stored_decode *how, nni_picture *out) {
  jpeg_reader r;
  prepare(&r, source);
  r.damaged_is_fine = how->damaged;
  int status = read_pixels(&r, how, out);
  jpeg_destroy_decompress(&r.info);
  nn_memory_put(r.line);
  return status;
}

/* ---- writing ---- */

typedef struct {
  struct jpeg_compress_struct info;
  struct jpeg_error_mgr errors;
  struct jpeg_destination_mgr destination;
  jmp_buf jump;
  int status;
  nni_bytes *out;
  uint8_t block[1 << 14];
} jpeg_writer;

static void on_write_error(j_common_ptr common) {
  jpeg_writer *w = common->client_data;
  char text[JMSG_LENGTH_MAX];
  common->err->format_message(common, text);
  if (w->status == NN_OK) w->status = nn_fail(NN_EMEMORY, "jpeg: %s", text);
  longjmp(w->jump, 1);
}

static void no_message(j_common_ptr common, int level) {
  (void)common;
  (void)level;
}

static void start_block(j_compress_ptr info) {
  jpeg_writer *w = info->client_data;
  w->destination.next_output_byte = w->block;
  w->destination.free_in_buffer = sizeof w->block;
}

static void give(jpeg_writer *w, size_t size) {
  w->status = nni_bytes_add(w->out, w->block, size);
  if (w->status != NN_OK) longjmp(w->jump, 1);
}

static boolean end_block(j_compress_ptr info) {
  jpeg_writer *w = info->client_data;
  give(w, sizeof w->block);
  start_block(info);
  return TRUE;
}

static void end_file(j_compress_ptr info) {
  jpeg_writer *w = info->client_data;
  give(w, sizeof w->block - w->destination.free_in_buffer);
}

static int write_rows(jpeg_writer *w, const nni_picture *picture, const nn_image_encoding *how) {
  if (setjmp(w->jump)) return w->status;
  struct jpeg_compress_struct *info = &w->info;
  jpeg_create_compress(info);
  w->destination = (struct jpeg_destination_mgr){
    .init_destination = start_block, .empty_output_buffer = end_block, .term_destination = end_file
  };
  info->dest = &w->destination;
  info->image_width = (JDIMENSION)picture->width;
  info->image_height = (JDIMENSION)picture->height;
  info->input_components = picture->channels;
  info->in_color_space = picture->channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(info);
  jpeg_set_quality(info, how->quality, TRUE);
  if (picture->channels == 3) {
    info->comp_info[0].h_samp_factor = how->chroma == NN_CHROMA_444 ? 1 : 2;
    info->comp_info[0].v_samp_factor = how->chroma == NN_CHROMA_420 ? 2 : 1;
  }
  if (how->progressive) jpeg_simple_progression(info);
  jpeg_start_compress(info, TRUE);
  int64_t pitch = picture->width * picture->channels;
  while (info->next_scanline < info->image_height) {
    JSAMPROW row = picture->pixels + info->next_scanline * pitch;
    jpeg_write_scanlines(info, &row, 1);
    if (info->next_scanline % 64 == 0 && (w->status = nn_interrupt_check()) != NN_OK) return w->status;
  }
  jpeg_finish_compress(info);
  return NN_OK;
}

int nni_jpeg_encode(const nni_picture *picture, const nn_image_encoding *how, nni_bytes *out) {
  jpeg_writer w;
  memset(&w, 0, sizeof w - sizeof w.block);
  w.out = out;
  w.info.err = jpeg_std_error(&w.errors);
  w.errors.error_exit = on_write_error;
  w.errors.emit_message = no_message;
  w.info.client_data = &w;
  int status = write_rows(&w, picture, how);
  jpeg_destroy_compress(&w.info);
  return status;
}
