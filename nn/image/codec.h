/* codec.h -- what image.c and the decoders share. */
#ifndef NN_IMAGE_CODEC_H
#define NN_IMAGE_CODEC_H

#include "formats/bytes.h"
#include "image/image.h"

typedef struct {
  const char *name;  /* for messages */
  const uint8_t *bytes;
  size_t size;
} nni_source;

/* What a decoder is to do: `window` is in stored places (before orientation), within the sides that `about` tells, and
 * always set. */
typedef nni_decode nni_stored_decode;

/* Headers. Sides are as stored (for JPEG unscaled), about->orientation is 1..8. Limits are the caller's business. */
int nni_png_about(const nni_source *source, nn_image_about *about);
int nni_jpeg_about(const nni_source *source, nn_image_about *about);

/* Pixels, with `channels` channels; a picture stored in colour is not turned into grey: it gives 3 where 1 is asked. */
int nni_png_decode(const nni_source *source, const nni_stored_decode *how, nni_picture *out);
int nni_jpeg_decode(const nni_source *source, const nni_stored_decode *how, nni_picture *out);

/* A file's bytes behind those in *out; the caller has checked channels, sides and quality. */
int nni_png_encode(const nni_picture *picture, nni_bytes *out);
int nni_jpeg_encode(const nni_picture *picture, const nn_image_encoding *how, nni_bytes *out);

/* The orientation in an EXIF block (a TIFF header and its first directory), 1..8; 1 when it says nothing usable. */
int nni_exif_orientation(const uint8_t *tiff, size_t size);

#endif
