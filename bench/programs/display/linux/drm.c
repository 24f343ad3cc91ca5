/* Dumb buffers of DRM for the peer's program (linux/include/uapi/drm/drm_mode.h). */
#define CAML_NAME_SPACE
#include <caml/alloc.h>
#include <caml/bigarray.h>
#include <caml/fail.h>
#include <caml/memory.h>
#include <caml/mlvalues.h>
#include <caml/threads.h>
#include <libdrm/drm.h>
#include <libdrm/drm_fourcc.h>
#include <libdrm/drm_mode.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

static void ask(int card, unsigned long request, void *argument, const char *what)
{
  int done;
  do done = ioctl(card, request, argument);
  while (done < 0 && (errno == EINTR || errno == EAGAIN));
  if (done < 0) {
    char text[128];
    snprintf(text, sizeof text, "%s: %s", what, strerror(errno));
    caml_failwith(text);
  }
}

/* The timings of a mode of the first connector with this size, or of its first one with other
   numbers: virtio's displays take any. */
static struct drm_mode_modeinfo mode_of(int card, uint32_t connector, unsigned width, unsigned height)
{
  static struct drm_mode_modeinfo modes[128];
  struct drm_mode_get_connector about = {.connector_id = connector};
  ask(card, DRM_IOCTL_MODE_GETCONNECTOR, &about, "GETCONNECTOR");
  if (!about.count_modes || about.count_modes > 128) caml_failwith("no modes");
  struct drm_mode_get_connector again = {.connector_id = connector, .count_modes = about.count_modes, .modes_ptr = (uintptr_t)modes};
  ask(card, DRM_IOCTL_MODE_GETCONNECTOR, &again, "GETCONNECTOR");
  for (unsigned i = 0; i < again.count_modes; i++)
    if (modes[i].hdisplay == width && modes[i].vdisplay == height) return modes[i];
  caml_failwith("no mode of this size");
}

CAMLprim value bench_drm_open(value path, value width, value height)
{
  CAMLparam3(path, width, height);
  CAMLlocal2(result, pixels);
  unsigned w = Int_val(width), h = Int_val(height);
  int card = open(String_val(path), O_RDWR | O_CLOEXEC);
  if (card < 0) caml_failwith("no display");

  uint32_t connectors[16], crtcs[16];
  struct drm_mode_card_res resources = {.count_connectors = 16, .count_crtcs = 16,
    .connector_id_ptr = (uintptr_t)connectors, .crtc_id_ptr = (uintptr_t)crtcs};
  ask(card, DRM_IOCTL_MODE_GETRESOURCES, &resources, "GETRESOURCES");
  struct drm_mode_modeinfo mode = mode_of(card, connectors[0], w, h);

  struct drm_mode_create_dumb dumb = {.width = w, .height = h, .bpp = 32};
  ask(card, DRM_IOCTL_MODE_CREATE_DUMB, &dumb, "CREATE_DUMB");
  if (dumb.pitch != w * 4) caml_failwith("rows with gaps");
  struct drm_mode_fb_cmd2 frame = {.width = w, .height = h, .pixel_format = DRM_FORMAT_XRGB8888,
    .handles = {dumb.handle}, .pitches = {dumb.pitch}};
  ask(card, DRM_IOCTL_MODE_ADDFB2, &frame, "ADDFB2");
  struct drm_mode_map_dumb map = {.handle = dumb.handle};
  ask(card, DRM_IOCTL_MODE_MAP_DUMB, &map, "MAP_DUMB");
  void *memory = mmap(NULL, dumb.size, PROT_READ | PROT_WRITE, MAP_SHARED, card, map.offset);
  if (memory == MAP_FAILED) caml_failwith("mmap");
  struct drm_mode_crtc crtc = {.set_connectors_ptr = (uintptr_t)connectors, .count_connectors = 1,
    .crtc_id = crtcs[0], .fb_id = frame.fb_id, .mode_valid = 1, .mode = mode};
  ask(card, DRM_IOCTL_MODE_SETCRTC, &crtc, "SETCRTC");

  pixels = caml_ba_alloc_dims(CAML_BA_INT32 | CAML_BA_C_LAYOUT | CAML_BA_EXTERNAL, 1, memory, (intnat)w * h);
  result = caml_alloc_tuple(3);
  Store_field(result, 0, Val_int(card));
  Store_field(result, 1, Val_int(frame.fb_id));
  Store_field(result, 2, pixels);
  CAMLreturn(result);
}

CAMLprim value bench_drm_dirty(value card, value frame, value width, value y, value rows)
{
  struct drm_clip_rect clip = {.x1 = 0, .y1 = Int_val(y), .x2 = Int_val(width), .y2 = Int_val(y) + Int_val(rows)};
  struct drm_mode_fb_dirty_cmd dirty = {.fb_id = Int_val(frame), .num_clips = 1, .clips_ptr = (uintptr_t)&clip};
  ask(Int_val(card), DRM_IOCTL_MODE_DIRTYFB, &dirty, "DIRTYFB");
  return Val_unit;
}
