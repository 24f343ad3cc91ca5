/* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. */

#ifndef SOIL_H
#define SOIL_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* An OCaml int, untagged. */
typedef intptr_t Int;
/* OCaml values: bytes, string, bigarray of bytes, array of those, bigarray of int, bigarray of rows of pixels. */
typedef uintptr_t Bytes, Text, Buffer, Buffers, Ints, Pixels;

/**
 * Code of a failure. The list only grows, at its end; a number is never reused with another
 * meaning.
 */
enum soil_error
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * An argument is out of range: the caller's mistake.
   */
  SOIL_ERROR_INVALID = 1,
  /**
   * The descriptor was closed, by this task or by another.
   */
  SOIL_ERROR_CLOSED = 2,
  /**
   * No such file, directory or device.
   */
  SOIL_ERROR_NOT_FOUND = 3,
  /**
   * The file or directory exists already.
   */
  SOIL_ERROR_EXISTS = 4,
  /**
   * A directory was needed, or a component of the path is a file.
   */
  SOIL_ERROR_NOT_DIRECTORY = 5,
  /**
   * The path names a directory where a file is needed.
   */
  SOIL_ERROR_IS_DIRECTORY = 6,
  /**
   * The directory has entries.
   */
  SOIL_ERROR_NOT_EMPTY = 7,
  /**
   * The disk, or a fixed-size table on it, is full.
   */
  SOIL_ERROR_NO_SPACE = 8,
  /**
   * The disk, the file or the descriptor can't be written.
   */
  SOIL_ERROR_READ_ONLY = 9,
  /**
   * The file system can't store this name.
   */
  SOIL_ERROR_INVALID_NAME = 10,
  /**
   * A name or path is longer than the file system allows.
   */
  SOIL_ERROR_NAME_TOO_LONG = 11,
  /**
   * The size or the offset is beyond what the format allows.
   */
  SOIL_ERROR_TOO_LARGE = 12,
  /**
   * The file system's data is inconsistent.
   */
  SOIL_ERROR_CORRUPT = 13,
  /**
   * The device failed.
   */
  SOIL_ERROR_IO = 14,
  /**
   * It is in use elsewhere in the program, or a disk by another program.
   */
  SOIL_ERROR_BUSY = 15,
  /**
   * The device, the file system or the platform can't do it.
   */
  SOIL_ERROR_UNSUPPORTED = 16,
  /**
   * The peer's host refused the connection (RST).
   */
  SOIL_ERROR_CONNECTION_REFUSED = 17,
  /**
   * The peer reset the connection.
   */
  SOIL_ERROR_CONNECTION_RESET = 18,
  /**
   * A deadline, or the protocol's own limit, has passed.
   */
  SOIL_ERROR_TIMED_OUT = 19,
  /**
   * There is no route, or a router reports that the destination can't be reached.
   */
  SOIL_ERROR_UNREACHABLE = 20,
  /**
   * Another descriptor has this address and port.
   */
  SOIL_ERROR_ADDRESS_IN_USE = 21,
  /**
   * No interface has this address, or all ports are taken.
   */
  SOIL_ERROR_ADDRESS_NOT_AVAILABLE = 22,
  /**
   * The connection isn't established, or no longer.
   */
  SOIL_ERROR_NOT_CONNECTED = 23,
  /**
   * The other side no longer reads.
   */
  SOIL_ERROR_BROKEN_PIPE = 24,
  /**
   * The machine has no such device.
   */
  SOIL_ERROR_NO_DEVICE = 25,
  /**
   * The machine has no source of random numbers.
   */
  SOIL_ERROR_NO_ENTROPY = 26,
  /**
   * Out of memory.
   */
  SOIL_ERROR_OUT_OF_MEMORY = 27,
  /**
   * The table of descriptors, ports or connections is full.
   */
  SOIL_ERROR_TOO_MANY_OPEN = 28,
  /**
   * The operation was cancelled.
   */
  SOIL_ERROR_CANCELLED = 29,
  /**
   * The descriptor is of a kind that can't do this.
   */
  SOIL_ERROR_WRONG_KIND = 30,
  /**
   * The name has no address, or none of the family asked for.
   */
  SOIL_ERROR_NO_SUCH_HOST = 31,
  /**
   * There is no network interface, or none with an address yet.
   */
  SOIL_ERROR_NO_NETWORK = 32,
  /**
   * No name server responded, or the response was a failure.
   */
  SOIL_ERROR_NAME_SERVER_FAILURE = 33,
  /**
   * The datagram is larger than can be sent.
   */
  SOIL_ERROR_MESSAGE_TOO_LONG = 34,
  /**
   * The value of an environment variable is invalid.
   */
  SOIL_ERROR_BAD_CONFIGURATION = 35,
  /**
   * The host doesn't permit it.
   */
  SOIL_ERROR_PERMISSION_DENIED = 36,
  /**
   * A path crosses more than 40 symbolic links, or a file has the maximum number of names.
   */
  SOIL_ERROR_TOO_MANY_LINKS = 37,
  /**
   * Two paths are on different volumes, which a rename or a hard link can't span.
   */
  SOIL_ERROR_CROSS_VOLUME = 38,
  /**
   * Every task waits for another one, and nothing can wake any of them (raised in OCaml).
   */
  SOIL_ERROR_DEADLOCK = 39,
  /**
   * A certificate wasn't accepted: the peer's here, or this end's by the peer.
   */
  SOIL_ERROR_CERTIFICATE = 40,
  /**
   * The peer broke the TLS protocol, or no parameters were agreed on.
   */
  SOIL_ERROR_TLS = 41,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum soil_error soil_error;
#else
typedef int32_t soil_error;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Number of this interface: it changes with every incompatible change, and OCaml checks it at
 * start.
 */
#define SOIL_ABI 6

/**
 * The operation was started and completes later.
 */
#define PENDING -1000

/**
 * Nothing was done: park and try again.
 */
#define WOULD_BLOCK -1001

/**
 * The largest token.
 */
#define MAX_TOKEN (1 << 40)

/**
 * The first token of an operation whose completion comes through [`soil_await`], to the one thread
 * that waits for it; those of smaller ones come through [`soil_wait`].
 */
#define FIRST_TOKEN_OF_THREADS (1 << 39)

/**
 * `soil_fd_park`: until there is something to read, or to accept.
 */
#define PARK_READ 0

/**
 * `soil_fd_park`: until there is room to write, or the connection is established.
 */
#define PARK_WRITE 1

/**
 * `soil_tcp_set`: 1: small writes are sent at once (the default); 0: they wait for an
 * acknowledgement (Nagle, RFC 9293, 3.7.4).
 */
#define OPTION_NODELAY 0

/**
 * `soil_tcp_set`: nanoseconds without an acknowledgement that end the connection with `Timed_out`
 * (RFC 5482); 0: never.
 */
#define OPTION_USER_TIMEOUT 2

/**
 * `soil_tcp_set`: nanoseconds that a closed connection may go on delivering; 0: closing sends RST.
 */
#define OPTION_LINGER 3

/**
 * `soil_tcp_set`: 0: CUBIC (RFC 9438), 1: NewReno (RFC 6582).
 */
#define OPTION_CONGESTION 4

/**
 * `soil_tcp_set`: limit of bytes that are written and not acknowledged (4 KiB to 1 GiB).
 */
#define OPTION_SEND_BUFFER 5

/**
 * `soil_tcp_set`: limit of bytes that wait to be read (4 KiB to what the window's scale allows).
 */
#define OPTION_RECEIVE_BUFFER 6

/**
 * `soil_tcp_set`: 1: timestamps if the peer agrees (RFC 7323; the default); 0: none. For a
 * listener, this option and those below apply to connections that it establishes from then on; a
 * connection has settled this one by its SYN.
 */
#define OPTION_TIMESTAMPS 7

/**
 * `soil_tcp_set`: 1: selective acknowledgements if the peer agrees (RFC 2018; the default); 0:
 * none. Settled by the SYN.
 */
#define OPTION_SACK 8

/**
 * `soil_tcp_set`: 1: windows beyond 64 KiB if the peer agrees (RFC 7323, 2; the default); 0: none.
 * Settled by the SYN.
 */
#define OPTION_WINDOW_SCALING 9

/**
 * `soil_tcp_set`: 1: segments are spread over the round trip (the default); 0: sent at once.
 */
#define OPTION_PACING 10

/**
 * `soil_tcp_set`: nanoseconds that an acknowledgement may wait, at most 499 ms; 0: not at all (RFC
 * 5681, 4.2).
 */
#define OPTION_DELAYED_ACK 11

/**
 * `soil_tcp_set`: the largest segment in bytes of payload (88 to 65 535); 0: what the path
 * carries.
 */
#define OPTION_MSS 12

/**
 * `soil_net_mark`: the TTL or hop limit of what is sent, 1 to 255 (RFC 9293, 3.9.2; RFC 1122,
 * 4.1.4); 0: the default.
 */
#define MARK_HOP_LIMIT 0

/**
 * `soil_net_mark`: the DSCP of what is sent, 0 to 63 (RFC 2474, 3).
 */
#define MARK_DSCP 1

/**
 * `soil_fd_kind`: the console.
 */
#define KIND_CONSOLE 0

/**
 * `soil_fd_kind`: an end of a pipe.
 */
#define KIND_PIPE 1

/**
 * `soil_fd_kind`: a TCP connection.
 */
#define KIND_TCP 2

/**
 * `soil_fd_kind`: a file.
 */
#define KIND_FILE 3

/**
 * `soil_fd_kind`: a TCP listener.
 */
#define KIND_LISTENER 4

/**
 * `soil_fd_kind`: a UDP socket.
 */
#define KIND_UDP 5

/**
 * `soil_fd_kind`: an open directory.
 */
#define KIND_DIRECTORY 6

/**
 * `soil_fd_kind`: a block device.
 */
#define KIND_BLOCK 7

/**
 * `soil_fd_kind`: a socket for raw Ethernet frames.
 */
#define KIND_ETHERNET 8

/**
 * `soil_fd_kind`: an echo request.
 */
#define KIND_ECHO 9

/**
 * `soil_fd_kind`: a vsock connection.
 */
#define KIND_VSOCK 10

/**
 * `soil_fd_kind`: a vsock listener.
 */
#define KIND_VSOCK_LISTENER 11

/**
 * `soil_fs_open`: for reading.
 */
#define OPEN_READ 1

/**
 * `soil_fs_open`: for writing.
 */
#define OPEN_WRITE 2

/**
 * `soil_fs_open`: create the file if it is missing.
 */
#define OPEN_CREATE 4

/**
 * `soil_fs_open`: with [`OPEN_CREATE`]: fail if it is there.
 */
#define OPEN_EXCLUSIVE 8

/**
 * `soil_fs_open`: cut the file to length 0.
 */
#define OPEN_TRUNCATE 16

/**
 * `soil_fs_open`: every write goes to the end.
 */
#define OPEN_APPEND 32

/**
 * `soil_fs_stat`: an ordinary file.
 */
#define ENTRY_FILE 0

/**
 * `soil_fs_stat`: a directory.
 */
#define ENTRY_DIRECTORY 1

/**
 * `soil_fs_stat`: a symbolic link.
 */
#define ENTRY_SYMLINK 2

/**
 * `soil_trace`: the task runs.
 */
#define TRACE_RUNS 1

/**
 * `soil_trace`: it waits, for what the name says.
 */
#define TRACE_WAITS 2

/**
 * `soil_trace`: it has ended.
 */
#define TRACE_ENDED 3

/**
 * `soil_trace`: the operation of this name was started, for which it will wait.
 */
#define TRACE_OPERATION 4

/**
 * `soil_trace`: no task can run; the program waits.
 */
#define TRACE_SLEEPS 5

/**
 * `soil_trace`: that has ended.
 */
#define TRACE_WAKES 6

/**
 * `soil_trace`: the operation of this name was done at once.
 */
#define TRACE_DONE 7

/**
 * `soil_counters`: bytes of memory in use.
 */
#define COUNTER_MEMORY 0

/**
 * `soil_counters`: open descriptors.
 */
#define COUNTER_DESCRIPTORS 1

/**
 * `soil_counters`: operations waiting for their completion.
 */
#define COUNTER_OPERATIONS 2

/**
 * `soil_counters`: TCP connections in any state, those in TIME-WAIT included.
 */
#define COUNTER_CONNECTIONS 3

/**
 * `soil_counters`: Ethernet frames received.
 */
#define COUNTER_FRAMES_IN 4

/**
 * `soil_counters`: Ethernet frames sent.
 */
#define COUNTER_FRAMES_OUT 5

/**
 * `soil_counters`: frames received and not understood or not wanted.
 */
#define COUNTER_DROPS 6

/**
 * `soil_counters`: requests given to block devices.
 */
#define COUNTER_BLOCK_REQUESTS 7

/**
 * `soil_counters`: times that the machine or the process slept in `soil_wait`.
 */
#define COUNTER_SLEEPS 8

/**
 * `soil_counters`: calls of threads that waited until another's was over.
 */
#define COUNTER_LOCK_WAITS 9

/**
 * `soil_counters`: the longest such wait, in nanoseconds.
 */
#define COUNTER_LOCK_WAIT_MAX 10

/**
 * `soil_instance_text`: where the metadata come from, as `SOIL_METADATA` names it.
 */
#define INSTANCE_SOURCE 0

/**
 * `soil_instance_text`: the provider's identifier of the machine.
 */
#define INSTANCE_ID 1

/**
 * `soil_instance_text`: the host name.
 */
#define INSTANCE_HOST_NAME 2

/**
 * `soil_instance_text`: the user data.
 */
#define INSTANCE_USER_DATA 3

/**
 * `soil_instance_text`: an argument.
 */
#define INSTANCE_ARGUMENT 4

/**
 * `soil_instance_text`: the name of an environment variable.
 */
#define INSTANCE_VARIABLE_NAME 5

/**
 * `soil_instance_text`: the value of that variable.
 */
#define INSTANCE_VARIABLE 6

/**
 * `soil_instance_text`: the path of a file.
 */
#define INSTANCE_FILE_PATH 7

/**
 * `soil_instance_text`: the contents of that file.
 */
#define INSTANCE_FILE 8

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Opens the disk `name`, or of `DISK/NUMBER` and `DISK/LABEL` that partition; the result is its
 * descriptor. Errors: `No_device` with a detail that lists the disks there are, `Busy` when it is
 * mounted or open; `Not_found`, `Corrupt` and `Io` of a partition; `Bad_configuration`.
 */
Int soil_block_open(Text name, Int token);

/**
 * Fills `into` with the `BlockInfo` of a disk. Its size is read again, as it may have grown or
 * shrunk.
 */
Int soil_block_info(Int fd, Ints into);

/**
 * How many bytes after the start of `buffer` the first multiple of `alignment` bytes, a power of
 * two, is; it need not be inside. Errors: `Invalid`.
 */
Int soil_block_skew(Buffer buffer, Int alignment);

/**
 * Reads `len` bytes, a multiple of the sector size, from `sector` on to `into[off ..]`, to which
 * the device writes by itself; the result is `len`. Errors: `Invalid`; `Too_large`; `Io`, also for
 * sectors beyond the end; `Timed_out` when the device doesn't answer within
 * `SOIL_DISK_TIMEOUT` (30 s): the buffer must be kept and left alone until [`soil_block_given_up`]
 * is 0.
 */
Int soil_block_read(Int fd, Int sector, Buffer into, Int off, Int len, Int token);

/**
 * Writes `from[off .. off + len]`, a multiple of the sector size, from `sector` on; the result is
 * `len`. It is on the disk for good after [`soil_block_flush`]. Errors: those of
 * [`soil_block_read`], `Read_only`.
 */
Int soil_block_write(Int fd, Int sector, Buffer from, Int off, Int len, Int token);

/**
 * [`soil_block_read`] into several pieces, one after the other, each a multiple of the sector
 * size: `ranges` has offset and length in bytes for each of `buffers`, of which there are 1024 at
 * most.
 */
Int soil_block_readv(Int fd, Int sector, Buffers buffers, Ints ranges, Int token);

/**
 * [`soil_block_write`] of several pieces, as in [`soil_block_readv`]. With `durable` = 1 they are
 * on the disk for good when it completes. Errors: `Unsupported` for that where the device can't.
 */
Int soil_block_writev(Int fd, Int sector, Buffers buffers, Ints ranges, Int durable, Int token);

/**
 * Does something to `count` sectors from `sector` on: 0 discards them, 1 makes them zeros, 2 does
 * so and may give up the room behind them. Errors: `Invalid`, `Read_only`, `Unsupported`, `Io`,
 * `Timed_out`.
 */
Int soil_block_clear(Int fd, Int sector, Int count, Int how, Int token);

/**
 * How many requests ended with `Timed_out` that their devices still have.
 */
Int soil_block_given_up(void);

/**
 * Completes when every write that completed before is on the disk for good.
 */
Int soil_block_flush(Int fd, Int token);

/**
 * Copies the name of disk `index` (from 0) to the start of `into`, cut where it doesn't fit;
 * returns its whole length. Errors: `Not_found` after the last disk.
 */
Int soil_block_name(Int index, Bytes into, Int off, Int len);

/**
 * Reads up to `len` bytes to `into[off ..]`; 0 is the end of input (or `len` = 0).
 * Errors: `Closed`, `Connection_reset`, `Timed_out`, `Wrong_kind`, …; `WOULD_BLOCK`.
 */
Int soil_fd_read(Int fd, Bytes into, Int off, Int len);

/**
 * [`soil_fd_read`] into a bigarray.
 */
Int soil_fd_read_buffer(Int fd, Buffer into, Int off, Int len);

/**
 * Writes up to `len` bytes of `from[off ..]`; returns how many were taken, at least 1 unless `len`
 * is 0. Errors: `Closed`, `Broken_pipe`, `Connection_reset`, `Not_connected`, `Wrong_kind`, …;
 * `WOULD_BLOCK`.
 */
Int soil_fd_write(Int fd, Bytes from, Int off, Int len);

/**
 * [`soil_fd_write`] from a bigarray.
 */
Int soil_fd_write_buffer(Int fd, Buffer from, Int off, Int len);

/**
 * Completes `token` with 0 once the operation is worth retrying: `direction` is `PARK_READ` or
 * `PARK_WRITE`. 0: it is worth retrying now, no completion will come; else `PENDING`.
 * Closing the descriptor completes it with `Closed`. Several tokens may park on one descriptor.
 * Errors: `Closed`, `Wrong_kind`.
 */
Int soil_fd_park(Int fd, Int direction, Int token);

/**
 * Ends one half of a connection or pipe: 0 no more receiving, 1 no more sending (the peer reads
 * the end), 2 both.
 */
Int soil_fd_shutdown(Int fd, Int how);

/**
 * Closes it and completes what is parked on it with `Closed`. Closing a closed descriptor is 0 as
 * well.
 */
Int soil_fd_close(Int fd);

/**
 * One of the `KIND_*`.
 */
Int soil_fd_kind(Int fd);

/**
 * The descriptor of the console: standard input when read, standard output when written. The same
 * at each call.
 */
Int soil_console(void);

/**
 * The descriptor of the error output of the console; write only.
 */
Int soil_console_error(void);

/**
 * Makes a pipe that holds up to `capacity` bytes (1 … 16 MiB), and fills `ends` with its
 * `PipeEnds`. Reading an empty pipe whose writing end is closed is the
 * end of input; writing when the reading end is closed is `Broken_pipe`. Errors: `Out_of_memory`,
 * `Too_many_open`.
 */
Int soil_pipe(Int capacity, Ints ends);

/**
 * Waits for the file descriptor `fd` of Linux, or of an image's system calls, to be ready for
 * `direction` (`PARK_READ`, `PARK_WRITE`). 1: it is, or a transfer would fail at once. It
 * completes with 0 when it may have become ready: call again. Errors: `Closed` (there is no such
 * descriptor).
 */
Int soil_system_descriptor_await(Int fd, Int direction, Int token);

/**
 * Copies the name of display `display` (from 0) to `into[off .. off + len]`, cut where it doesn't
 * fit; returns its whole length. The first use of displays opens them. Errors: `Not_found` after
 * the last display; `Bad_configuration`.
 */
Int soil_display_name(Int display, Bytes into, Int off, Int len);

/**
 * Opens the display `name`, or the first one for an empty name; the result is its place (from 0).
 * Errors: `No_device` with a detail that says what to do, or lists the displays there are; `Busy`
 * when it is open; `Bad_configuration`.
 */
Int soil_display_open(Text name);

/**
 * Closes a display. Waiting operations end with `Closed`. The picture stays, the cursor is hidden,
 * and the program keeps the memory of its buffers for as long as it can reach it.
 */
Int soil_display_close(Int display);

/**
 * Fills `into` with: whether the display is connected (1); the width and height that fit it now,
 * in pixels; width and height of its picture in millimetres, 0 if not known; the number of its
 * modes; the number of changes of all this so far; the number of the last frame, 0 if there is
 * none yet.
 */
Int soil_display_info(Int display, Ints into);

/**
 * Fills `into` with width, height and refresh rate (in thousandths of a hertz, 0 if not known) of
 * mode `mode` (from 0; the preferred one first). Errors: `Not_found` after the last mode.
 */
Int soil_display_mode(Int display, Int mode, Ints into);

/**
 * Copies the monitor's name as [`soil_display_name`] does; 0 if it has none.
 */
Int soil_display_monitor(Int display, Bytes into, Int off, Int len);

/**
 * Copies the monitor's EDID as [`soil_display_name`] does; 0 if it has none.
 */
Int soil_display_edid(Int display, Bytes into, Int off, Int len);

/**
 * Waits until there were more or fewer changes than `seen`; the result is their number.
 */
Int soil_display_changed(Int display, Int seen, Int token);

/**
 * Makes a frame buffer of black pixels and points `into`, an empty bigarray that isn't used for
 * anything else, at its memory: a row for each line, of which the first `width` pixels are shown.
 * A pixel is `0xXXRRGGBB`. The result is the buffer's number. Errors: `Invalid` (a side isn't
 * within 16 and 8192, or `into` isn't empty), `Out_of_memory`, `Io`.
 */
Int soil_display_buffer(Int display, Int width, Int height, Pixels into);

/**
 * Ends the use of a buffer: `pixels`, the bigarray that showed it, is empty from now on. The
 * memory is used again once no part of it can be reached and the display shows another buffer.
 * Errors: `Closed` (there is no such buffer), `Invalid` (it is another one's bigarray).
 */
Int soil_display_release(Int display, Int buffer, Pixels pixels);

/**
 * Shows a buffer. `damage` has the rectangles that have changed in it since it was shown last:
 * column, row, width and height of each. The result is the number of the frame, from 1 on. Errors:
 * `Busy` (two frames haven't ended), `Invalid`, `Closed`, `Io`.
 */
Int soil_display_present(Int display, Int buffer, Ints damage);

/**
 * Waits until a frame has ended: the display has read the buffer and shows it. Errors: `Io`, and
 * `Timed_out` when the display doesn't answer within ten seconds.
 */
Int soil_display_await(Int display, Int frame, Int token);

/**
 * Shows nothing until the next frame. Errors: `Io`.
 */
Int soil_display_disable(Int display);

/**
 * Sets the cursor's image, 64 rows of 64 pixels `0xAARRGGBB`, and shows it; `x` and `y` are the
 * pixel of it that points. Errors: `Invalid`, `Unsupported` (the display has no cursor), `Io`.
 */
Int soil_display_set_cursor(Int display, Pixels image, Int x, Int y);

/**
 * Moves the cursor to a pixel of the display. Errors: `Invalid` (a negative number).
 */
Int soil_display_move_cursor(Int display, Int x, Int y);

/**
 * Hides the cursor until its image is set.
 */
Int soil_display_hide_cursor(Int display);

/**
 * Paints `width` columns from `x` on in `height` rows from `y` on.
 */
Int soil_draw_fill(Pixels pixels, Int x, Int y, Int width, Int height, Int colour);

/**
 * Paints the outline that the first `len` numbers of `commands` are: 0 and a point (move), 1 and a
 * point (line), 2 and two points (quadratic curve), 3 and three points (cubic curve), 4 (close).
 * They and `width` are in 1024ths of a pixel. `shape` is 0 for what the outline encloses, 1 for
 * what it encloses an odd number of times, 2 for a line of `width` along it, 3 for one with round
 * ends and corners. Errors: `Invalid` (another number in the place of these); `Busy` as every call
 * of the runtime.
 */
Int soil_draw_path(Pixels pixels, Ints commands, Int len, Int shape, Int width, Int colour);

/**
 * Sets text from its left upper corner, each pixel of the font as a square of `scale` pixels.
 * `font` is 0 for 6 by 10, 1 for 8 by 13, 2 for 8 by 13 in bold, 3 for 10 by 20 pixels. Errors:
 * `Invalid` (no such font), `Invalid_name` (the text isn't UTF-8).
 */
Int soil_draw_text(Pixels pixels, Int x, Int y, Text text, Int font, Int scale, Int colour);

/**
 * Copies a picture, whose left upper corner comes to (`x`, `y`). Errors: `Invalid` (they are in
 * the same memory).
 */
Int soil_draw_copy(Pixels pixels, Int x, Int y, Pixels from);

/**
 * Makes ext4 one of the file systems that can be mounted.
 */
Int soil_use_ext4(void);

/**
 * Opens the file at `path`; `flags` is a sum of `OPEN_*`. The result is its descriptor. Errors:
 * `Not_found`, `Exists`, `Is_directory`, `Read_only`, `No_space`, `Invalid_name`, `Corrupt`, …
 */
Int soil_fs_open(Text path, Int flags, Int token);

/**
 * Reads up to `len` bytes to `into[off ..]` from byte `position` of the file, or from the
 * descriptor's own position, which moves on, when `position` is -1. The result is the number of
 * bytes, less than `len` only at the end of the file, 0 at or after it.
 */
Int soil_file_read(Int fd, Buffer into, Int off, Int len, Int position, Int token);

/**
 * Writes `from[off .. off + len]` at byte `position` of the file, or at the descriptor's own
 * position, which moves on, when `position` is -1. The result is the number of bytes, less than
 * `len` only when the disk is full. Errors: `No_space`, `Too_large`, `Read_only`.
 */
Int soil_file_write(Int fd, Buffer from, Int off, Int len, Int position, Int token);

/**
 * Whether the memory that operation `token` lent is still in use though it failed, because its
 * disk didn't answer within `SOIL_DISK_TIMEOUT`: 0 if not, else the number of its volume. To be
 * asked before the token is used again, and once; the memory is to be kept and left alone until
 * another operation is said to lend that volume its memory.
 */
Int soil_fs_given_up(Int token);

/**
 * The size of the file in bytes.
 */
Int soil_file_size(Int fd, Int token);

/**
 * Makes the file `size` bytes long, cutting it or adding zeros.
 */
Int soil_file_truncate(Int fd, Int size, Int token);

/**
 * Changes the room of `len` bytes of the file from `position` on: `how` 0 gives it room, and the
 * file grows to its end; 1 does so and leaves the size; 2 makes it a hole; 3 makes it zeros that
 * have room, and the file grows to its end. Errors: `No_space`, `Too_large`, `Read_only`,
 * `Unsupported`, `Invalid` for no bytes.
 */
Int soil_file_allocate(Int fd, Int how, Int position, Int len, Int token);

/**
 * The first byte of the file from `position` on that is data, or in a hole if `hole` is 1; the
 * result is the byte after that, or 0 where there is none. The end of the file is a hole unless
 * `position` is there or past it.
 */
Int soil_file_next(Int fd, Int position, Int hole, Int token);

/**
 * Moves the descriptor's position to `offset` from the start (`whence` 0), from itself (1) or from
 * the file's end (2); the result is the new position.
 */
Int soil_file_seek(Int fd, Int offset, Int whence, Int token);

/**
 * Completes when everything written to the file so far is on the disk.
 */
Int soil_file_sync(Int fd, Int token);

/**
 * Fills `into` with the `Stat` of what `path` names; a symbolic link at its end is followed if
 * `follow` is 1.
 */
Int soil_fs_stat(Text path, Int follow, Ints into, Int token);

/**
 * Sets when the contents of what `path` names were last read and last changed, each in seconds
 * since 1970 and nanoseconds of that; -1 nanoseconds leave it as it is. A symbolic link at the end
 * is followed if `follow` is 1. A moment that the file system can't say becomes the nearest that
 * it can. Errors: `Not_found`, `Read_only`, `Unsupported`, `Invalid`, …
 */
Int soil_fs_set_times(Text path,
                      Int follow,
                      Int accessed,
                      Int accessed_ns,
                      Int modified,
                      Int modified_ns,
                      Int token);

/**
 * Fills `into` as [`soil_fs_stat`] does, for an open file.
 */
Int soil_file_stat(Int fd, Ints into, Int token);

/**
 * Fills `into` with the `Contents` of the file and returns 1 if they lie in memory for good; else
 * returns 0.
 */
Int soil_file_contents(Int fd, Ints into, Int token);

/**
 * Opens the directory at `path` for [`soil_directory_next`]; the result is its descriptor.
 */
Int soil_fs_directory(Text path, Int token);

/**
 * Writes the next entries to `into[0 .. len]`, as many as fit, each as kind (1 byte, `ENTRY_*`),
 * length of the name (2 bytes, low one first), name; the result is the number of bytes, 0 after
 * the last entry. Errors: `Invalid` if not even one entry fits.
 */
Int soil_directory_next(Int fd, Buffer into, Int len, Int token);

/**
 * Makes an empty directory.
 */
Int soil_fs_mkdir(Text path, Int token);

/**
 * Removes an empty directory.
 */
Int soil_fs_remove_directory(Text path, Int token);

/**
 * Gives `from` the path `to` on the same volume. What has it already is replaced if `how` is 0, an
 * error if it is 1, and gets the path `from` if it is 2, as with the flags of Linux's `renameat2`.
 * Errors: `Cross_volume`, `Busy`, `Exists`, `Unsupported`, …
 */
Int soil_fs_rename(Text from, Text to, Int how, Int token);

/**
 * Gives the file at `path` a second name, `new`, on the same volume. Errors: `Cross_volume`,
 * `Unsupported`, `Too_many_links`, …
 */
Int soil_fs_link(Text path, Text new_, Int token);

/**
 * Makes the symbolic link `path`, which says `target`. Errors: `Exists`, `Unsupported`, …
 */
Int soil_fs_symlink(Text target, Text path, Int token);

/**
 * Writes what the symbolic link `path` says to `into[0 .. len]`, cut where it doesn't fit; the
 * result is its whole length. Errors: `Invalid` if it is none.
 */
Int soil_fs_readlink(Text path, Buffer into, Int len, Int token);

/**
 * Writes the path of what `path` names, without symbolic links, to `into[0 .. len]`, cut where it
 * doesn't fit; the result is its whole length.
 */
Int soil_fs_realpath(Text path, Buffer into, Int len, Int token);

/**
 * Removes a file. Errors: `Is_directory`, `Busy` when it is open.
 */
Int soil_fs_unlink(Text path, Int token);

/**
 * Completes when everything written to the volume that holds `path` so far is on its disk.
 */
Int soil_fs_sync_volume(Text path, Int token);

/**
 * Completes when everything written to any volume so far is on its disk.
 */
Int soil_fs_sync(Int token);

/**
 * Fills `into` with the `Space` of the volume that holds `path`, and writes its mount point, its
 * source and the fault of a corrupt one, a line each, to `text[0 .. len]`. The result is the
 * length of that text.
 */
Int soil_fs_space(Text path, Ints into, Buffer text, Int len, Int token);

/**
 * Mounts as `SOIL_MOUNT` does: `spec` is `/PATH=TYPE:SOURCE`, or without `TYPE:`, and with `,ro`
 * to read only. Errors: `No_device`, `Exists`, `Corrupt`, `Unsupported`, `Bad_configuration`, …
 */
Int soil_fs_mount(Text spec, Int token);

/**
 * Makes everything on the volume at `point` durable and gives it up. Errors: `Not_found`, `Busy`
 * while something on it is open, `Io`.
 */
Int soil_fs_unmount(Text point, Int token);

/**
 * Fills `into` with the `CacheStatistics` of the volume mounted at `point`, or, if that is empty,
 * of all volumes since the program started. The result is 0. Errors: `Not_found` if nothing is
 * mounted there.
 */
Int soil_cache_statistics(Text point, Ints into);

/**
 * Lends at most `len` bytes of the file, 1 MiB at once, from byte `position` on, as they lie in
 * memory, after having read missing parts. The result is the number of the lease, at least 1,
 * or 0 at the end of the file. It has one slice or several, which [`soil_file_lease_next`] shows;
 * there may be fewer bytes than `len` in them. Errors: as `soil_file_read`, and `Out_of_memory`
 * while 256 leases, or half of the cache's memory, haven't been ended, or are ended but still
 * looked at.
 */
Int soil_file_lease(Int fd, Int position, Int len, Int token);

/**
 * Points `into` at the next slice of a lease; returns its length in bytes, 0 after the last one,
 * with which `into` is left alone. The first time `into` is an empty bigarray that isn't used for
 * anything else, then the same one. Errors: `Invalid` (no such lease, or it is another one's
 * bigarray).
 */
Int soil_file_lease_next(Int lease, Buffer into);

/**
 * Ends a lease: `buffer`, the bigarray that showed its slices, is empty from now on. The memory is
 * used again once no part of it (`sub`) can be reached. Errors: `Invalid` (no such lease, or it is
 * another one's bigarray).
 */
Int soil_file_lease_end(Int lease, Buffer buffer);

/**
 * Adds a file to the tree that [`soil_embed_mount`] mounts: `path` in the tree, and its contents.
 * A string that is static data of the program is used where it lies, for good; another one is
 * copied.
 */
Int soil_embed_file(Text path, Text contents);

/**
 * Mounts the files that were added since the last call at `point`, unless `SOIL_MOUNT` names
 * something else for that. Errors: `Exists`, `Invalid_name`, `Out_of_memory`.
 */
Int soil_embed_mount(Text point);

/**
 * Opens the input devices; the result is their number. Their events are those from now on. Errors:
 * `No_device` with a detail that says what to do; `Busy` when they are open; `Bad_configuration`.
 */
Int soil_input_open(void);

/**
 * Closes the input devices. A waiting operation ends with `Closed`.
 */
Int soil_input_close(void);

/**
 * Copies the description of device `device` (from 0) to `into[off .. off + len]`, cut where it
 * doesn't fit, and returns its whole length. Each line is a word and numbers, or text: `ids`, bus,
 * vendor, product, version; `properties`, `keys`, `relative`, `switches`, `leds`, the codes of
 * evdev; for each axis `absolute`, code, minimum, maximum, fuzz, flat, resolution; `repeats`, 1 if
 * held keys are to be repeated; `serial`; `name`. Errors: `Not_found` after the last device.
 */
Int soil_input_describe(Int device, Bytes into, Int off, Int len);

/**
 * Waits for events and fills `into` with five numbers for each: device, monotonic nanoseconds,
 * type, code and value as in evdev. The result is their number. Errors: `Invalid` (no room for
 * one), `Busy` (another operation waits), `Closed`.
 */
Int soil_input_next(Ints into, Int token);

/**
 * Switches light `led` of a device on (1) or off (0). Errors: `Not_found`, `Unsupported` (the
 * device has no such light), `Io`, `Closed`.
 */
Int soil_input_set_led(Int device, Int led, Int on);

/**
 * Fills `into` with a `MachineMemory`.
 */
Int soil_machine_memory(Ints into);

/**
 * Copies a description of the machine's devices, one a line, to `into[off .. off + len]`, cut
 * where it doesn't fit; returns its whole length.
 */
Int soil_machine_devices(Bytes into, Int off, Int len);

/**
 * Copies what the machine's last start left to `into[off .. off + len]`, cut where it doesn't fit,
 * and returns its whole length: a line with the exit status, the number of failures in a row and
 * the seconds since 1970 (0: unknown), and the end of its error output. Errors: `Not_found`: it
 * didn't fail, or the machine keeps nothing (`SOIL_ON_FAILURE`).
 */
Int soil_machine_last_failure(Bytes into, Int off, Int len);

/**
 * Copies one of the machine's metadata (`INSTANCE_*`; with an `index` those of which there are
 * several) to `into[off .. off + len]`, cut where it doesn't fit; returns its whole length. The
 * first call of a process reads the file that `SOIL_METADATA` names. Errors: `Not_found`: there
 * are no metadata, or not so many; others with a detail.
 */
Int soil_instance_text(Int which, Int index, Bytes into, Int off, Int len);

/**
 * Switches the machine off (the process exits with status 0). Returns only with an error.
 */
Int soil_machine_power_off(void);

/**
 * Starts the machine again. Errors: `Unsupported` in the process.
 */
Int soil_machine_reboot(void);

/**
 * Fills `into[off .. off + len]` with random bytes fit for keys; returns `len`. `WOULD_BLOCK`:
 * entropy is being collected, see [`soil_random_seed`]. Errors: `No_entropy` with a detail.
 */
Int soil_random_fill(Bytes into, Int off, Int len);

/**
 * Waits until [`soil_random_fill`] can answer: 0 at once, or `PENDING`. Errors: `No_entropy` with
 * a detail.
 */
Int soil_random_seed(Int token);

/**
 * Answers for `name`.local, or for the value of `SOIL_MDNS` if `name` is empty, on all links from
 * now on; returns 1, or 0 if both are empty. The first name stays. Errors: `Invalid_name`, with a
 * detail; `Bad_configuration`.
 */
Int soil_mdns_start(Text name);

/**
 * Copies the name, such as `soil-2.local`, to `into[off .. off + len]`, cut where it doesn't fit,
 * and returns its whole length; 0 as long as it isn't known to be this machine's alone.
 */
Int soil_mdns_name(Bytes into, Int off, Int len);

/**
 * Makes volumes in memory one of the file systems that can be mounted.
 */
Int soil_use_memory(void);

/**
 * Copies what the parts that are in use have counted to `into[off .. off + len]`, cut where it
 * doesn't fit, and returns its whole length. Lines of words: `net NAME VALUE`;
 * `socket PROTOCOL STATE NUMBER`, the state `-` for UDP; `disk REQUESTS NAME` for each disk in
 * use; and for each volume that is open
 * `volume HEALTH TOTAL AVAILABLE HITS MISSES DIRTY READ_AHEAD POINT`, sizes in bytes. `HEALTH` is
 * `writable`, `unflushed`, `read-only`, `corrupt` or, with sizes of 0, `busy`. Nothing is started
 * by asking.
 */
Int soil_statistics(Bytes into, Int off, Int len);

/**
 * 0 when an interface has an address, else `PENDING` until the first one has. Errors (also of the
 * completion): `No_network` with a detail that says what to do, `Bad_configuration`.
 */
Int soil_net_up(Int token);

/**
 * The number of interfaces. Errors: `Bad_configuration`.
 */
Int soil_net_interfaces(void);

/**
 * Copies a description of interface `index` to `into[off .. off + len]`, cut where it doesn't fit,
 * and returns its whole length: lines `name=…`, `mac=…`, `mtu=…`, `address=…/…` (any number),
 * `gateway=…`, `dns=…`.
 */
Int soil_net_interface(Int index,
                       Bytes into,
                       Int off,
                       Int len);

/**
 * Adds an interface for VLAN `id` (1 to 4094) of interface `parent`, with the addresses in
 * `addresses` and the gateways in `gateways` (both separated by `,`; without addresses it asks
 * DHCP and listens to routers); returns its number. Errors: `Invalid`, `No_device`,
 * `Bad_configuration` with a detail.
 */
Int soil_net_vlan(Int parent, Int id, Text addresses, Text gateways);

/**
 * Adds a route to `network` (`10.1.0.0/16`) over an interface, by way of `gateway` or, if that is
 * empty, on the link itself; or takes it away (`add` = 0), whatever its gateway. Errors: `Invalid`
 * (no network, mixed families, more than 64), `No_device`, `Not_found` (no such route to take
 * away).
 */
Int soil_net_route(Int add, Text network, Int interface, Text gateway);

/**
 * Copies the table of routes to `into[off .. off + len]`, cut where it doesn't fit, and returns
 * its whole length: a line for each, with the network, the number of the interface and the gateway
 * or `-`.
 */
Int soil_net_routes(Bytes into, Int off, Int len);

/**
 * Copies the table of sockets to `into[off .. off + len]`, cut where it doesn't fit, and returns
 * its whole length: a line for each, with the protocol, its own end, the other end or `-`, the
 * state (RFC 9293, 3.3.2) or `-`, the bytes received and not read (of a listener: connections not
 * accepted) and the bytes that aren't acknowledged.
 */
Int soil_net_connections(Bytes into, Int off, Int len);

/**
 * Copies what the network counts to `into[off .. off + len]`, cut where it doesn't fit, and
 * returns its whole length: lines `name=value`.
 */
Int soil_net_statistics(Bytes into, Int off, Int len);

/**
 * Puts the rules of the packet filter in `rules` in force, in place of those before. Errors:
 * `Bad_configuration` with a detail.
 */
Int soil_net_filter(Text rules);

/**
 * Chooses the hop limit or the DSCP, one of `MARK_*`, of what a connection or UDP socket sends
 * from now on; of a listener: for its answers and for the connections that it establishes from now
 * on. Errors: `Invalid` (no such value), `Wrong_kind`.
 */
Int soil_net_mark(Int fd, Int what, Int value);

/**
 * Puts the 16-byte addresses in `addresses[0 .. len]` into the order in which to try them (RFC
 * 6724, 6); returns the number of those to which there is a route, which come first.
 */
Int soil_net_sort(Bytes addresses, Int len);

/**
 * Looks the addresses of `name` up (`family` 4, 6, or 0 for both) and writes 16 bytes for each to
 * `results`; the result is their number, at most as many as fit. Usually `PENDING`. Errors:
 * `No_such_host`, `Name_server_failure`, `Timed_out`, `No_network`, `Invalid_name`.
 */
Int soil_dns_lookup(Text name, Int family, Buffer results, Int len, Int token);

/**
 * Looks records of `name` up whose type has the number `kind` (1 A, 5 CNAME, 12 PTR, 16 TXT, 28
 * AAAA, 33 SRV) and writes as many as fit to `results`; the result is the number of bytes. Each
 * record is its time to live in seconds (4 bytes, the highest first), the length of what follows
 * (2 bytes), and: the 16 bytes of an address; a name as text; priority, weight and port (2 bytes
 * each) and a name; or strings with a byte before each that says its length. Usually `PENDING`.
 * Errors: as [`soil_dns_lookup`].
 */
Int soil_dns_query(Text name, Int kind, Buffer results, Int len, Int token);

/**
 * Copies the name servers of lookups to `into[0 .. len]`, cut where they don't fit, and returns
 * the length: text such as `10.0.0.1:53, [fd00::1]:53`.
 */
Int soil_dns_servers(Bytes into, Int len);

/**
 * Sends an echo request with `len` bytes to the address of `endpoint`, whose port is of no
 * meaning; returns a descriptor that is readable once it is answered. Errors: `Invalid` (a group,
 * or no address), `Unreachable`, `Message_too_long` (more than 65 000 bytes), `Out_of_memory`
 * (more than 64 at a time).
 */
Int soil_echo(Text endpoint, Int len);

/**
 * Fills `into` with an `EchoReply`. `WOULD_BLOCK`. Errors: `Unreachable`, `Wrong_kind`.
 */
Int soil_echo_result(Int fd, Ints into);

/**
 * A socket for the frames of this type on interface `interface`; returns its descriptor. Errors:
 * `Invalid` (a type of the machine's own: IPv4, IPv6, ARP, VLAN; or none), `Address_in_use`,
 * `No_device`.
 */
Int soil_ethernet_open(Int interface, Int ethertype);

/**
 * Sends `from[off .. off + len]` in a frame to the 6-byte address `destination`; returns `len`.
 * `WOULD_BLOCK`. Errors: `Message_too_long`.
 */
Int soil_ethernet_send(Int fd, Text destination, Bytes from, Int off, Int len);

/**
 * Receives the payload of a frame to `into[off ..]`, cut where it doesn't fit, and writes its
 * source and destination, 6 bytes each, to the start of `addresses`; returns the number of bytes
 * written. `WOULD_BLOCK`.
 */
Int soil_ethernet_receive(Int fd, Bytes addresses, Bytes into, Int off, Int len);

/**
 * The number of this interface, [`SOIL_ABI`].
 */
Int soil_abi_version(void);

/**
 * Starts the platform: log level, signals or power button. No device is touched. Calling it again
 * does nothing. All other functions but [`soil_event_set`] and [`soil_sync_all`] serve the OCaml domain of the calling
 * thread from then on: in others they answer `Busy`. Errors: `Bad_configuration` with a detail.
 */
Int soil_start(void);

/**
 * Runs stack and devices until at least one operation completes, the time `deadline` (monotonic
 * nanoseconds; -1 = none; 0 = only look) comes, or a signal arrives; then fills `completions[2i]`
 * with a token and `completions[2i + 1]` with its result, for at most `max` operations (at most
 * half the length of `completions`), and returns their number: 0 after the deadline or a signal.
 * Other OCaml threads may run meanwhile. For one thread.
 * @ocaml blocking
 */
Int soil_wait(Int deadline, Ints completions, Int max);

/**
 * Waits as `soil_wait` does, on any thread, until the operation `token`, from
 * `FIRST_TOKEN_OF_THREADS` on, completes; returns its result, or `PENDING` after the deadline or a
 * signal. Also for a token without an operation, which never completes. Of several threads that
 * wait, here or in `soil_wait`, one runs stack and devices for all. A token is waited for by one
 * thread at a time. Errors: `Invalid` (a smaller token).
 * @ocaml blocking
 */
Int soil_await(Int token, Int deadline);

/**
 * Says that other threads than the first will wait, as `soil.threads` does when it starts; 0.
 * From any thread.
 */
Int soil_expect_threads(void);

/**
 * Starts an operation that [`soil_event_set`] completes, with 0.
 */
Int soil_event(Int token);

/**
 * Completes the operation that [`soil_event`] has started; from any thread of any OCaml domain. 1:
 * done. 0: there is no such operation.
 */
Int soil_event_set(Int token);

/**
 * Takes the operation `token` back. 1: done, no completion will come and its buffer is the
 * caller's again. 0: there is no such operation, or its completion is already on the way.
 * [`PENDING`](super::PENDING): a device has the buffer; the completion will come.
 */
Int soil_cancel(Int token);

/**
 * Copies the detail of the thread's last call that failed (UTF-8, one line, no final newline) to
 * `into[off .. off + len]`, cut where it doesn't fit; returns its length, 0 if that failure had
 * none.
 */
Int soil_error_detail(Bytes into, Int off, Int len);

/**
 * The same for the operation that completed with `token`; it is forgotten by this call.
 */
Int soil_error_detail_of(Int token, Bytes into, Int off, Int len);

/**
 * Before exit: writes back all volumes, drains the console, ends lingering connections, for at
 * most `grace` nanoseconds.
 * @ocaml blocking
 */
Int soil_sync_all(Int grace);

/**
 * Ends the process or the machine at once with `status` (its low 8 bits). Does not return.
 */
Int soil_exit(Int status);

/**
 * A counter of the running system; `which` is one of the `COUNTER_*`.
 */
Int soil_counters(Int which);

/**
 * A number of the running thread that no other living one has, not 0: by it the OCaml side, whose
 * scheduler is one thread's, tells others.
 */
Int soil_thread(void);

/**
 * 1 in the image, 0 in the process.
 */
Int soil_on_vm(void);

/**
 * Log level: 0 nothing, 1 errors, 2 warnings (the default), 3 information, 4 debugging.
 */
Int soil_set_log_level(Int level);

/**
 * Logs one line at `level` (1 … 4).
 */
Int soil_log(Int level, Text text, Int off, Int len);

/**
 * Nanoseconds of a clock that never jumps; its zero is some time before the program's start.
 */
Int soil_clock_monotonic_ns(void);

/**
 * Nanoseconds since 1970-01-01 00:00 UTC.
 */
Int soil_clock_wall_ns(void);

/**
 * Shows the console on the first display as well, if the machine's command line has
 * `SOIL_CONSOLE=display`; does nothing in a process. To be called once. Errors: `Too_many`.
 */
Int soil_use_screen(void);

/**
 * Makes tar archives one of the file systems that can be mounted.
 */
Int soil_use_tar(void);

/**
 * Listens at `endpoint` (address zero: at every address; port 0: one is chosen), with up to
 * `backlog` connections waiting to be accepted; returns the listener's descriptor. `how` is as
 * in [`soil_tcp_connect`], without the congestion marks, and is what the listener's connections
 * begin with. Errors: `Address_in_use`, `Address_not_available`, `No_network`, `Too_many_open`.
 */
Int soil_tcp_listen(Text endpoint, Int backlog, Int how);

/**
 * Takes an established connection from the listener and returns its descriptor; `WOULD_BLOCK`.
 */
Int soil_tcp_accept(Int listener);

/**
 * The number of connections of the listener that weren't established since the last call, because
 * others hold all memory of TCP, or the machine is short of memory; their peers try again. Parking
 * the listener with `PARK_READ` ends when there are more. 0 in the process on the host's sockets.
 * Errors: `Wrong_kind`.
 */
Int soil_tcp_refused(Int listener);

/**
 * Starts a connection and returns its descriptor at once; park with `PARK_WRITE`, then ask
 * [`soil_tcp_connected`]. `how`, in bits: 0 to 7 the hop limit and 8 to 13 the DSCP, as with
 * [`soil_net_mark`](super::soil_net_mark); 16 and 17 whether to ask for congestion marks (RFC
 * 3168): 0 as configured, 1 no, 2 yes; 18 to 21: no timestamps, no selective acknowledgements, no
 * window scaling, no pacing; 24 to 39 as [`OPTION_MSS`](super::OPTION_MSS); 40 to 59: 0 the usual
 * delay of acknowledgements, otherwise 1 more than it in microseconds. Errors: `No_network`,
 * `Unreachable`, `Too_many_open`, `Invalid`.
 */
Int soil_tcp_connect(Text endpoint, Int how);

/**
 * 0 when the connection is established; `WOULD_BLOCK`. Errors: `Connection_refused`, `Timed_out`,
 * `Unreachable`.
 */
Int soil_tcp_connected(Int fd);

/**
 * Takes `endpoint` (address zero: every address; port 0: one is chosen) for
 * [`soil_tcp_listen_bound`] or [`soil_tcp_connect_bound`] and returns a descriptor of the kind of
 * listeners. `how` is as in [`soil_tcp_connect`]. A SYN to it is refused. Errors: as for
 * [`soil_tcp_listen`].
 */
Int soil_tcp_bind(Text endpoint, Int how);

/**
 * Listens at what was bound, with up to `backlog` connections waiting to be accepted. Errors:
 * `Wrong_kind`, `Closed`.
 */
Int soil_tcp_listen_bound(Int fd, Int backlog);

/**
 * Starts a connection from what was bound, whose descriptor is closed unless this fails; returns
 * the connection's, as [`soil_tcp_connect`] does. Errors: those, and `Wrong_kind` for one that
 * listens.
 */
Int soil_tcp_connect_bound(Int fd, Text endpoint);

/**
 * Writes the 18 bytes of the local endpoint of a connection, listener or UDP socket to the start
 * of `into`.
 */
Int soil_tcp_local(Int fd, Bytes into);

/**
 * Writes the 18 bytes of the peer's endpoint to the start of `into`. Errors: `Not_connected`,
 * `Wrong_kind`.
 */
Int soil_tcp_peer(Int fd, Bytes into);

/**
 * Sets an option of a connection, or of a listener for its connections, one of `OPTION_*`, to
 * `value`. Errors: `Invalid` (no such option or value), `Wrong_kind`.
 */
Int soil_tcp_set(Int fd, Int option, Int value);

/**
 * Probes a connection after `idle` nanoseconds without a word of the peer, 0: never (the state of
 * a new one), and then every `interval` nanoseconds; the peer is gone (`Timed_out`) when `count`
 * probes, 1 to 255, were not answered. Errors: `Invalid`, `Wrong_kind`.
 */
Int soil_tcp_keepalive(Int fd, Int idle, Int interval, Int count);

/**
 * Fills `into` with the `TcpInfo` of a connection. Errors: `Wrong_kind`.
 */
Int soil_tcp_info(Int fd, Ints into);

/**
 * Closes the descriptor, and ends the connection with RST: what was not sent yet is lost.
 */
Int soil_tcp_abort(Int fd);

/**
 * Marks all that was written to a connection so far and the next `len` bytes as urgent, to be
 * called before they are written: the peer gets the pointer at once, even if its window is closed.
 * Errors: `Wrong_kind`, `Not_connected`, `Invalid` for a negative `len`.
 */
Int soil_tcp_send_urgent(Int fd, Int len);

/**
 * The number of bytes from the next one to be read to the last that the peer calls urgent, come or
 * still to come; 0: none. The last `back` bytes that were read count as not read.
 * [`soil_fd_park`](super::soil_fd_park) with `PARK_READ` ends when there are more, too. Errors:
 * `Wrong_kind`.
 */
Int soil_tcp_urgent(Int fd, Int back);

/**
 * Takes received bytes of a connection, at least one, and points `into`, an empty bigarray that
 * isn't used for anything else, at them as they lie in the stack's memory; returns the number of
 * the lease, at least 1, or 0 at the end of input, with which `into` is left alone. Errors: as
 * `soil_fd_read`, and `Out_of_memory` while 256 leases haven't been ended, or are ended but still
 * looked at.
 */
Int soil_tcp_lease(Int fd, Buffer into);

/**
 * Ends a lease: `buffer`, the bigarray that it began with, is empty from now on. The memory is
 * used again once no part of it (`sub`) can be reached. Errors: `Invalid` (no such lease, or it is
 * another one's bigarray).
 */
Int soil_tcp_lease_end(Int lease, Buffer buffer);

/**
 * Sends `from[off .. off + len]` without copying it: `PENDING`; it completes with `len` when the
 * peer has acknowledged all of it, and not before the stack has given the buffer back, which must
 * not be changed until then. Cancelling gives the buffer back at once; what the stack had taken of
 * it is still sent. Errors (also of the completion): as `soil_fd_write`, `Too_many_open` (more
 * than 1024 at a time), `Closed` (before all was taken).
 */
Int soil_tcp_send_shared(Int fd, Buffer from, Int off, Int len, Int token);

/**
 * New credentials: certificates with their keys, none yet.
 */
Int soil_tls_credentials(void);

/**
 * Adds a chain of certificates and its private key, both in PEM, to those that the next
 * [`soil_tls_credentials_apply`] puts in place.
 */
Int soil_tls_credentials_add(Int credentials, Text chain, Text key);

/**
 * Replaces all certificates by those added since the last call, for handshakes that begin after
 * this. Errors: `Bad_configuration` with a detail; nothing changes then.
 */
Int soil_tls_credentials_apply(Int credentials);

/**
 * New options of a configuration with these credentials.
 */
Int soil_tls_options(Int credentials);

/**
 * Adds roots, in PEM, whose certificates are accepted. They are read by [`soil_tls_client`] or
 * [`soil_tls_server`].
 */
Int soil_tls_trust(Int options, Text roots);

/**
 * Adds revocation lists, in PEM, read like the roots.
 */
Int soil_tls_revoke(Int options, Text lists);

/**
 * Adds a protocol for ALPN, behind those before it. Errors: `Invalid` (not 1 to 255 bytes).
 */
Int soil_tls_protocol(Int options, Text name);

/**
 * The configuration of clients with these options, which it takes, also if it fails. `versions` is
 * 0 for TLS 1.2 and 1.3, 2 or 3 for one of them; `sessions` the number of servers whose sessions
 * are kept; with `key_log` 1 keys are kept for [`soil_tls_key_log`]. Errors: `Bad_configuration`
 * with a detail.
 */
Int soil_tls_client(Int options, Int versions, Int sessions, Int key_log);

/**
 * The configuration of servers, as [`soil_tls_client`]. `clients` is 2 if they need a certificate
 * that the roots sign, 1 if they may show one, else 0.
 */
Int soil_tls_server(Int options, Int versions, Int sessions, Int key_log, Int clients);

/**
 * Moves lines with the keys of sessions to `into[off .. off + len]`, as many bytes as fit; returns
 * how many.
 */
Int soil_tls_key_log(Int config, Bytes into, Int off, Int len);

/**
 * A session with a server that has to be `host`, a name or an address. Errors:
 * `Bad_configuration` with a detail.
 */
Int soil_tls_connect(Int config, Text host);

/**
 * A session with a client.
 */
Int soil_tls_accept(Int config);

/**
 * Goes on with the handshake: 1 if it is complete, 0 if it needs input; in both cases records may
 * wait for [`soil_tls_take`], as after an error. Errors, with a detail: `Certificate`, `Tls`,
 * `Connection_reset` (the input has ended), `No_entropy`, `Busy` ([`soil_tls_refused`]). They are
 * the same from then on.
 */
Int soil_tls_handshake(Int session);

/**
 * The number of a session whose handshake was ended for others, and whose task has to learn of it;
 * `WOULD_BLOCK` if there is none. Ask after [`soil_tls_accept`] and [`soil_tls_feed`]. All
 * handshakes of servers together have a sixteenth of the memory.
 */
Int soil_tls_refused(void);

/**
 * Hands over bytes that the peer sent: 1 if they were taken, 0 while some 80 KiB wait to be
 * processed or read (24 KiB before a server has a ClientHello), as never when a call has just
 * answered that it needs input.
 */
Int soil_tls_feed(Int session, Bytes from, Int off, Int len);

/**
 * The peer's input has ended.
 */
Int soil_tls_end_of_input(Int session);

/**
 * Moves records that are to be sent to `into[off .. off + len]`, as many bytes as fit; returns how
 * many.
 */
Int soil_tls_take(Int session, Bytes into, Int off, Int len);

/**
 * The number of bytes of records that are to be sent.
 */
Int soil_tls_pending(Int session);

/**
 * Reads plaintext to `into[off .. off + len]`: the number of bytes, 0 at the end (close_notify).
 * `WOULD_BLOCK`: feed records first. Errors: as [`soil_tls_handshake`], and `Invalid` if `len` is
 * 0.
 */
Int soil_tls_read(Int session, Bytes into, Int off, Int len);

/**
 * [`soil_tls_read`] for a bigarray.
 */
Int soil_tls_read_into(Int session, Buffer into, Int off, Int len);

/**
 * Seals bytes of `from[off .. off + len]` into records in `into`, other bytes, behind those that
 * were to be sent: the number of bytes that were taken times 2^24, and the number of bytes in
 * `into`, which must be sent before any others. It takes 16 KiB or less for a record, as many
 * records as fit, and nothing before the end of the handshake. Errors: as [`soil_tls_handshake`],
 * and `Tls` behind [`soil_tls_close_notify`].
 */
Int soil_tls_write(Int session, Bytes from, Int off, Int len, Bytes into, Int room);

/**
 * [`soil_tls_write`] for a bigarray.
 */
Int soil_tls_write_from(Int session, Buffer from, Int off, Int len, Bytes into, Int room);

/**
 * Makes the record that says that nothing more is written.
 */
Int soil_tls_close_notify(Int session);

/**
 * Makes the record after which this end uses new keys (RFC 8446, 4.6.3). Errors:
 * `Bad_configuration` in TLS 1.2.
 */
Int soil_tls_update_keys(Int session);

/**
 * Copies a fact of a session to `into[off .. off + len]`, cut where it doesn't fit; returns its
 * whole length. 0: the version; 1: the cipher suite; 2: the protocol of ALPN; 4: the subject of
 * the peer's certificate; each is empty where there is none. 3 answers 1 if the session was
 * resumed, else 0.
 */
Int soil_tls_fact(Int session, Int which, Bytes into, Int off, Int len);

/**
 * Copies the peer's certificate `index` (0: its own) in DER, as [`soil_tls_fact`]; 0 if there is
 * none.
 */
Int soil_tls_peer_certificate(Int session, Int index, Bytes into, Int off, Int len);

/**
 * Gives a number back.
 */
Int soil_tls_free(Int number);

/**
 * Adds Mozilla's roots, as of the build of this library, to options of TLS. Errors: `Invalid`.
 */
Int soil_tls_trust_mozilla(Int options);

/**
 * Whether `soil run --trace` listens: 1 or 0. From any thread.
 */
Int soil_tracing(void);

/**
 * Records an event of the scheduler, if `soil run --trace` listens: what `task` does, by one of
 * the `TRACE_*`, and a name, of which 16 bytes are kept. Of the thread with the scheduler.
 */
Int soil_trace(Int kind, Int task, Text name);

/**
 * A UDP socket at `endpoint` (address zero: every address; port 0: one is chosen). Errors: as
 * [`soil_tcp_listen`](super::soil_tcp_listen).
 */
Int soil_udp_bind(Text endpoint);

/**
 * Sends `from[off .. off + len]` as one datagram to `endpoint`; returns `len`. `WOULD_BLOCK`.
 * Errors: `Message_too_long`, `Unreachable`.
 */
Int soil_udp_send(Int fd, Text endpoint, Bytes from, Int off, Int len);

/**
 * [`soil_udp_send`] from a bigarray.
 */
Int soil_udp_send_buffer(Int fd, Text endpoint, Buffer from, Int off, Int len);

/**
 * Receives one datagram to `into[off ..]`, cut where it doesn't fit, and writes its sender's 18
 * bytes to the start of `endpoint`; returns the number of bytes written. `WOULD_BLOCK`.
 */
Int soil_udp_receive(Int fd, Bytes endpoint, Bytes into, Int off, Int len);

/**
 * [`soil_udp_receive`] into a bigarray.
 */
Int soil_udp_receive_buffer(Int fd, Bytes endpoint, Buffer into, Int off, Int len);

/**
 * [`soil_udp_receive`] that also writes where the datagram was sent to: the 52 bytes of `arrival`
 * are its sender's endpoint, its destination's address, the address to answer from (`::` if there
 * is none), and the number of its interface, in network byte order (65535: none).
 */
Int soil_udp_receive_to(Int fd, Bytes arrival, Bytes into, Int off, Int len);

/**
 * [`soil_udp_send`] with a source: the 36 bytes of `route` are the destination's endpoint, an
 * address of this machine (`::`: whichever suits), and the number of the interface for a group or
 * a link-local destination, in network byte order (65535: whichever suits). Errors: also
 * `Address_not_available`, `No_device`.
 */
Int soil_udp_send_from(Int fd, Text route, Bytes from, Int off, Int len);

/**
 * Restricts the socket to this peer, for datagrams and errors; port 0: any peer. Errors:
 * `Unreachable`.
 */
Int soil_udp_connect(Int fd, Text endpoint);

/**
 * Joins (`join` 1) or leaves (0) the group with this 16-byte address on interface `interface` (-1:
 * whichever suits). Errors: `Invalid` (no group, or not joined), `Unreachable`, `Out_of_memory`
 * (too many groups).
 */
Int soil_udp_group(Int fd, Text group, Int interface, Int join);

/**
 * How many routers what is sent to groups may pass, 0 … 255; 1, the value of a new socket, stays
 * on the link.
 */
Int soil_udp_multicast_hops(Int fd, Int hops);

/**
 * Receives up to as many datagrams as `lengths` has places: number `i` to `into[i * slot ..]`, cut
 * where it doesn't fit, its sender's 18 bytes to `endpoints[18 * i ..]`, and the number of bytes
 * to `lengths[i]`; returns how many. `WOULD_BLOCK`.
 */
Int soil_udp_receive_batch(Int fd, Buffer into, Int slot, Bytes endpoints, Ints lengths);

/**
 * Sends as many datagrams as `lengths` has places: number `i` is `from[i * slot .. i * slot +
 * lengths[i]]` to the endpoint in `endpoints[18 * i ..]`; returns how many were taken, at least
 * one. `WOULD_BLOCK`. Errors: of the first, as [`soil_udp_send`].
 */
Int soil_udp_send_batch(Int fd, Buffer from, Int slot, Text endpoints, Ints lengths);

/**
 * This machine's CID. Errors: `No_device` with a detail that says what to do.
 */
Int soil_vsock_cid(void);

/**
 * Listens at `port` (2^32 - 1: a free one) of `cid` (2^32 - 1: each of this machine), with up to
 * `backlog` connections waiting to be accepted; returns the listener's descriptor. Errors:
 * `Address_in_use`, `Address_not_available`, `No_device`, `Permission_denied`, `Too_many_open`.
 */
Int soil_vsock_listen(Int cid, Int port, Int backlog);

/**
 * Takes an established connection from the listener and returns its descriptor; `WOULD_BLOCK`.
 */
Int soil_vsock_accept(Int listener);

/**
 * Starts a connection and returns its descriptor at once; park with `PARK_WRITE`, then ask
 * [`soil_vsock_connected`]. Errors: `No_device`, `Too_many_open`, `Unreachable`.
 */
Int soil_vsock_connect(Int cid, Int port);

/**
 * 0 when the connection is established; `WOULD_BLOCK`. Errors: `Connection_refused`, `Timed_out`,
 * `Unreachable`.
 */
Int soil_vsock_connected(Int fd);

/**
 * Closes the descriptor, and ends the connection with a reset: what was not sent yet is lost.
 */
Int soil_vsock_abort(Int fd);

/**
 * Writes the local address of a connection or listener, CID and port, as two little-endian numbers
 * of 4 bytes, to the start of `into`. Errors: `Wrong_kind`.
 */
Int soil_vsock_local(Int fd, Bytes into);

/**
 * Writes the peer's address likewise. Errors: `Wrong_kind`, `Not_connected`.
 */
Int soil_vsock_peer(Int fd, Bytes into);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SOIL_H */

/**
 * Fields of `TcpInfo`: State of a TCP connection (`soil_tcp_info`). Flags are 0 or 1.
 */
enum soil_tcp_info {
  /** Smoothed round-trip time, in nanoseconds (RFC 6298). */
  SOIL_TCP_INFO_RTT,
  /** Variation of the round-trip time, in nanoseconds. */
  SOIL_TCP_INFO_RTT_VARIATION,
  /** Least round-trip time, in nanoseconds. */
  SOIL_TCP_INFO_RTT_MIN,
  /** Retransmission timeout, in nanoseconds. */
  SOIL_TCP_INFO_RETRANSMISSION_TIMEOUT,
  /** Bytes of payload of a full segment. */
  SOIL_TCP_INFO_SEGMENT_SIZE,
  /** Congestion window, in bytes. */
  SOIL_TCP_INFO_CONGESTION_WINDOW,
  /** Slow start threshold, in bytes; 0xffff_ffff: none yet. */
  SOIL_TCP_INFO_SLOW_START_THRESHOLD,
  /** The peer's receive window, in bytes. */
  SOIL_TCP_INFO_SEND_WINDOW,
  /** The own receive window, in bytes. */
  SOIL_TCP_INFO_RECEIVE_WINDOW,
  /** Bytes that are believed to be on the way. */
  SOIL_TCP_INFO_IN_FLIGHT,
  /** Bytes written and not acknowledged. */
  SOIL_TCP_INFO_UNACKNOWLEDGED,
  /** Bytes received and not read. */
  SOIL_TCP_INFO_UNREAD,
  /** Bytes received beyond a gap. */
  SOIL_TCP_INFO_OUT_OF_ORDER,
  /** Segments retransmitted. */
  SOIL_TCP_INFO_RETRANSMITTED,
  /** Retransmission timeouts that expired. */
  SOIL_TCP_INFO_TIMEOUTS,
  /** 0: open, nothing is known to be lost; 1: recovery; 2: recovery after a timeout. */
  SOIL_TCP_INFO_PHASE,
  /** Bytes selectively acknowledged (RFC 2018). */
  SOIL_TCP_INFO_SACKED,
  /** Bytes held to be lost. */
  SOIL_TCP_INFO_LOST,
  /** Flag: the path has reordered segments. */
  SOIL_TCP_INFO_REORDERING,
  /** The peer's largest segment, in bytes of payload. */
  SOIL_TCP_INFO_PEER_SEGMENT_SIZE,
  /** MTU of the path, in bytes. */
  SOIL_TCP_INFO_PATH_MTU,
  /** Flag: timestamps (RFC 7323). */
  SOIL_TCP_INFO_TIMESTAMPS,
  /** Flag: selective acknowledgements. */
  SOIL_TCP_INFO_SACK,
  /** Flag: explicit congestion notification (RFC 3168). */
  SOIL_TCP_INFO_ECN,
  /** Flag: scaled windows (RFC 7323). */
  SOIL_TCP_INFO_WINDOW_SCALING,
  /** Shift of the own window. */
  SOIL_TCP_INFO_OWN_WINDOW_SHIFT,
  /** Shift of the peer's window. */
  SOIL_TCP_INFO_PEER_WINDOW_SHIFT,
  /** Tail loss probes sent (RFC 8985). */
  SOIL_TCP_INFO_LOSS_PROBES,
  /** Recoveries that turned out to be needless. */
  SOIL_TCP_INFO_SPURIOUS_RECOVERIES,
  /** Bytes acknowledged by the peer so far. */
  SOIL_TCP_INFO_BYTES_ACKNOWLEDGED,
  /** Bytes received in order so far. */
  SOIL_TCP_INFO_BYTES_RECEIVED,
  SOIL_TCP_INFO_LENGTH,
};

/**
 * Fields of `EchoReply`: Answer to an echo request (`soil_echo_result`).
 */
enum soil_echo_reply {
  /** Time from request to answer, in nanoseconds. */
  SOIL_ECHO_REPLY_TIME,
  /** TTL or hop limit of the answer. */
  SOIL_ECHO_REPLY_HOP_LIMIT,
  SOIL_ECHO_REPLY_LENGTH,
};

/**
 * Fields of `Stat`: Attributes of a file or directory (`soil_fs_stat`, `soil_file_stat`). Times are seconds since 1970-01-01 00:00 UTC, with nanoseconds of that second.
 */
enum soil_stat {
  /** Size in bytes. */
  SOIL_STAT_SIZE,
  /** Kind (`ENTRY_*`). */
  SOIL_STAT_KIND,
  /** Last change of the contents. */
  SOIL_STAT_MODIFIED,
  /** Nanoseconds of `modified`. */
  SOIL_STAT_MODIFIED_NS,
  /** Last access. */
  SOIL_STAT_ACCESSED,
  /** Last change of the attributes. */
  SOIL_STAT_CHANGED,
  /** Number of names. */
  SOIL_STAT_LINKS,
  /** Inode number. */
  SOIL_STAT_INODE,
  /** Flag: marked read-only. */
  SOIL_STAT_READ_ONLY,
  /** Nanoseconds of `accessed`. */
  SOIL_STAT_ACCESSED_NS,
  /** Nanoseconds of `changed`. */
  SOIL_STAT_CHANGED_NS,
  /** Number of the volume; -1 for a directory that only leads to mount points. */
  SOIL_STAT_VOLUME,
  SOIL_STAT_LENGTH,
};

/**
 * Fields of `Contents`: Place of a file's contents in memory (`soil_file_contents`).
 */
enum soil_contents {
  /** Address of the first byte. */
  SOIL_CONTENTS_ADDRESS,
  /** Length in bytes. */
  SOIL_CONTENTS_LENGTH,
  /** Address of `length`, for OCaml's runtime, which makes bigarrays of a length in memory. */
  SOIL_CONTENTS_LENGTH_ADDRESS,
  SOIL_CONTENTS_LENGTH,
};

/**
 * Fields of `Space`: Space and health of a volume (`soil_fs_space`).
 */
enum soil_space {
  /** Total bytes. */
  SOIL_SPACE_TOTAL,
  /** Free bytes. */
  SOIL_SPACE_FREE,
  /** Allocation unit, in bytes. */
  SOIL_SPACE_UNIT,
  /** 0: takes writes; 1: read-only; 2: corrupt; 3: takes writes on a disk without flush. */
  SOIL_SPACE_HEALTH,
  /** Free bytes less those reserved for the machine's administrator. */
  SOIL_SPACE_AVAILABLE,
  SOIL_SPACE_LENGTH,
};

/**
 * Fields of `CacheStatistics`: Statistics of a volume's cache, or of all (`soil_cache_statistics`).
 */
enum soil_cache_statistics {
  /** Bytes not yet written to the device. */
  SOIL_CACHE_STATISTICS_DIRTY,
  /** Reads answered from memory. */
  SOIL_CACHE_STATISTICS_HITS,
  /** Reads that needed the device. */
  SOIL_CACHE_STATISTICS_MISSES,
  /** Bytes read ahead. */
  SOIL_CACHE_STATISTICS_READ_AHEAD,
  /** Bytes of memory that all caches use for what was read; 0 for one volume. */
  SOIL_CACHE_STATISTICS_USED,
  /** Limit of `used`; 0 for one volume. */
  SOIL_CACHE_STATISTICS_LIMIT,
  SOIL_CACHE_STATISTICS_LENGTH,
};

/**
 * Fields of `BlockInfo`: Geometry and capabilities of a block device (`soil_block_info`).
 */
enum soil_block_info {
  /** Sector size in bytes. */
  SOIL_BLOCK_INFO_SECTOR_SIZE,
  /** Number of sectors. */
  SOIL_BLOCK_INFO_SECTORS,
  /** Flag: it can't be written. */
  SOIL_BLOCK_INFO_READ_ONLY,
  /** Limit of sectors in one request. */
  SOIL_BLOCK_INFO_REQUEST_SECTORS,
  /** Sum of 1: durable writes, 2: discard, 4: write zeros. */
  SOIL_BLOCK_INFO_CAPABILITIES,
  SOIL_BLOCK_INFO_LENGTH,
};

/**
 * Fields of `MachineMemory`: Memory of the machine, in bytes (`soil_machine_memory`).
 */
enum soil_machine_memory {
  /** Total. */
  SOIL_MACHINE_MEMORY_TOTAL,
  /** In use. */
  SOIL_MACHINE_MEMORY_IN_USE,
  /** Free. */
  SOIL_MACHINE_MEMORY_FREE,
  /** Highest use so far. */
  SOIL_MACHINE_MEMORY_HIGH_WATER,
  SOIL_MACHINE_MEMORY_LENGTH,
};

/**
 * Fields of `PipeEnds`: Descriptors of a pipe's ends (`soil_pipe`).
 */
enum soil_pipe_ends {
  /** The reading end. */
  SOIL_PIPE_ENDS_READER,
  /** The writing end. */
  SOIL_PIPE_ENDS_WRITER,
  SOIL_PIPE_ENDS_LENGTH,
};

