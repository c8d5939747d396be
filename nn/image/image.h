/* image.h -- pictures inside nn: decoding bytes that lie in memory, whole or a window of them, and resizing.
 *
 * A picture is [height, width, channels] of bytes, its buffer kept and used again by the next one: a loader's worker
 * has one and allocates nothing in the long run. All functions may run on several threads at once, each with its own
 * pictures.
 */
#ifndef NN_IMAGE_H
#define NN_IMAGE_H

#include "nn.h"

typedef struct {
  int64_t height, width;
  int channels;
  int depth;        /* bits of a sample: 8, or 16: then `pixels` holds uint16_t (only where nni_decode asked for it) */
  uint8_t *pixels;  /* from nn_memory */
  size_t room;      /* bytes at `pixels` */
} nni_picture;

/* Gives *p this shape and room for it; what was in it is lost. The product is checked. */
int nni_picture_shape(nni_picture *p, int64_t height, int64_t width, int channels, int depth);
void nni_picture_free(nni_picture *p);  /* and empties it */

/* Without a limit given, pictures of more pixels are refused before anything is allocated: 8 bytes of a hostile header
 * can ask for 4 GB. (As RGB, 400 MB.) */
#define NNI_MAX_PIXELS ((int64_t)1 << 27)
/* Bytes of a file: more than any picture within the limits takes. */
#define NNI_MAX_FILE ((uint64_t)1 << 30)

/* Zeros are the defaults. */
typedef struct {
  int channels;          /* 0: as stored (1, 3 or 4; grey with alpha gives 4, CMYK 3). 1, 3, 4: converted as Pillow
                          * does: grey = (19595 r + 38470 g + 7471 b + 2^15) / 2^16; alpha is dropped, or 255 */
  bool raw_orientation;  /* leave the orientation that EXIF states unapplied */
  int scale;             /* JPEG: 1, 2, 4, 8: decode to 1/scale of the sides, rounded up. Faster; other pixels. PNG: no
                          * effect */
  int64_t max_pixels;    /* 0: NNI_MAX_PIXELS */
  bool damaged;          /* JPEG: take what libjpeg makes of damaged data, where it can; else that is an error */
  bool deep;             /* PNG of 16 bits: keep them */
  bool window;           /* only this rectangle: of the picture as it is handed out, after orientation and scale */
  int64_t top, left, height, width;
} nni_decode;

/* Reads the header only: the picture's sides after orientation (and unscaled). `name` is for messages: "name: what".
 * NN_EFORMAT: neither PNG nor JPEG, or damaged. */
int nni_image_info(const char *name, const void *bytes, size_t size, nn_image_about *about);

/* A window gives exactly the pixels that lie there in the whole picture, for less work: rows below it are not read,
 * and JPEG skips most of the work outside it. Damage there may then go unseen. When this fails, *out is of no use but
 * for the next decode. */
int nni_image_decode(const char *name, const void *bytes, size_t size, const nni_decode *how, nni_picture *out);

/* ---- resizing (image/resize.c) ---- */

typedef struct {
  int64_t height, width;  /* of the whole target */
  nn_filter filter;
  bool aliased;           /* no antialiasing: the filter keeps its width when the picture shrinks */
  bool window;            /* only this rectangle of the target is wanted; `out` gets its shape */
  int64_t top, left, window_height, window_width;
  /* The picture given may be a part of the source, as long as it has all that the window needs: its place in there, and
   * the sides of the whole. source_height 0: it is the whole. */
  int64_t source_height, source_width, source_top, source_left;
} nni_resample;

typedef struct {
  int64_t top, left, height, width;
} nni_rectangle;

/* The rectangle of the source [source_height, source_width] that the target (or its window) is computed from. */
int nni_resample_needs(const nni_resample *how, nni_rectangle *needed);

/* Pillow's resize, byte for byte; *in and *out are different pictures of 8 bits. Runs on the calling thread. */
int nni_image_resize(const nni_picture *in, const nni_resample *how, nni_picture *out);

#endif
