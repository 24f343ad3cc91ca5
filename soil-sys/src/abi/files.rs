//! Files, directories and volumes. An operation with a token may answer `PENDING`; paths are
//! `/`-separated UTF-8 and copied at the call.

use crate::ffi::{Buffer, Int, Ints, Text};
use platform::error::Error;
use reactor::table::Fd;
use resources::files as glue;
use resources::runtime::call;

/// Opens the file at `path`; `flags` is a sum of `OPEN_*`. The result is its descriptor. Errors:
/// `Not_found`, `Exists`, `Is_directory`, `Read_only`, `No_space`, `Invalid_name`, `Corrupt`, …
#[unsafe(no_mangle)]
pub extern "C" fn soil_fs_open(path: Text, flags: Int, token: Int) -> Int {
    call(|rt| glue::open(rt, path.utf8()?, flags, token))
}

/// Reads up to `len` bytes to `into[off ..]` from byte `position` of the file, or from the
/// descriptor's own position, which moves on, when `position` is -1. The result is the number of
/// bytes, less than `len` only at the end of the file, 0 at or after it.
#[unsafe(no_mangle)]
pub extern "C" fn soil_file_read(
    fd: Int,
    into: Buffer,
    off: Int,
    len: Int,
    position: Int,
    token: Int,
) -> Int {
    call(|rt| glue::read(rt, Fd::decode(fd)?, into.piece(off, len)?, position, token))
}

/// Writes `from[off .. off + len]` at byte `position` of the file, or at the descriptor's own
/// position, which moves on, when `position` is -1. The result is the number of bytes, less than
/// `len` only when the disk is full. Errors: `No_space`, `Too_large`, `Read_only`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_file_write(
    fd: Int,
    from: Buffer,
    off: Int,
    len: Int,
    position: Int,
    token: Int,
) -> Int {
    call(|rt| glue::write(rt, Fd::decode(fd)?, from.piece(off, len)?, position, token))
}

/// Whether the memory that operation `token` lent is still in use though it failed, because its
/// disk didn't answer within `SOIL_DISK_TIMEOUT`: 0 if not, else the number of its volume. To be
/// asked before the token is used again, and once; the memory is to be kept and left alone until
/// another operation is said to lend that volume its memory.
#[unsafe(no_mangle)]
pub extern "C" fn soil_fs_given_up(token: Int) -> Int {
    call(|rt| {
        Ok(glue::abandoned(
            rt,
            u64::try_from(token).map_err(|_| Error::Invalid)?,
        ))
    })
}

/// The size of the file in bytes.
#[unsafe(no_mangle)]
pub extern "C" fn soil_file_size(fd: Int, token: Int) -> Int {
    call(|rt| glue::size(rt, Fd::decode(fd)?, token))
}

/// Makes the file `size` bytes long, cutting it or adding zeros.
#[unsafe(no_mangle)]
pub extern "C" fn soil_file_truncate(fd: Int, size: Int, token: Int) -> Int {
    call(|rt| {
        let size = u64::try_from(size).map_err(|_| Error::Invalid)?;
        glue::truncate(rt, Fd::decode(fd)?, size, token)
    })
}

/// Changes the room of `len` bytes of the file from `position` on: `how` 0 gives it room, and the
/// file grows to its end; 1 does so and leaves the size; 2 makes it a hole; 3 makes it zeros that
/// have room, and the file grows to its end. Errors: `No_space`, `Too_large`, `Read_only`,
/// `Unsupported`, `Invalid` for no bytes.
#[unsafe(no_mangle)]
pub extern "C" fn soil_file_allocate(
    fd: Int,
    how: Int,
    position: Int,
    len: Int,
    token: Int,
) -> Int {
    call(|rt| glue::allocate(rt, Fd::decode(fd)?, how, (position, len), token))
}

/// The first byte of the file from `position` on that is data, or in a hole if `hole` is 1; the
/// result is the byte after that, or 0 where there is none. The end of the file is a hole unless
/// `position` is there or past it.
#[unsafe(no_mangle)]
pub extern "C" fn soil_file_next(fd: Int, position: Int, hole: Int, token: Int) -> Int {
    call(|rt| glue::next(rt, Fd::decode(fd)?, position, hole == 1, token))
}

/// Moves the descriptor's position to `offset` from the start (`whence` 0), from itself (1) or from
/// the file's end (2); the result is the new position.
#[unsafe(no_mangle)]
pub extern "C" fn soil_file_seek(fd: Int, offset: Int, whence: Int, token: Int) -> Int {
    call(|rt| glue::seek(rt, Fd::decode(fd)?, offset, whence, token))
}

/// Completes when everything written to the file so far is on the disk.
#[unsafe(no_mangle)]
pub extern "C" fn soil_file_sync(fd: Int, token: Int) -> Int {
    call(|rt| glue::file_sync(rt, Fd::decode(fd)?, token))
}

/// Fills `into` with the `Stat` of what `path` names; a symbolic link at its end is followed if
/// `follow` is 1.
#[unsafe(no_mangle)]
pub extern "C" fn soil_fs_stat(path: Text, follow: Int, mut into: Ints, token: Int) -> Int {
    call(|rt| glue::stat(rt, path.utf8()?, follow == 1, into.piece(), token))
}

/// Sets when the contents of what `path` names were last read and last changed, each in seconds
/// since 1970 and nanoseconds of that; -1 nanoseconds leave it as it is. A symbolic link at the end
/// is followed if `follow` is 1. A moment that the file system can't say becomes the nearest that
/// it can. Errors: `Not_found`, `Read_only`, `Unsupported`, `Invalid`, …
#[unsafe(no_mangle)]
pub extern "C" fn soil_fs_set_times(
    path: Text,
    follow: Int,
    accessed: Int,
    accessed_ns: Int,
    modified: Int,
    modified_ns: Int,
    token: Int,
) -> Int {
    call(|rt| {
        let times = [
            glue::time(accessed, accessed_ns)?,
            glue::time(modified, modified_ns)?,
        ];
        glue::set_times(rt, path.utf8()?, follow == 1, times, token)
    })
}

/// Fills `into` as [`soil_fs_stat`] does, for an open file.
#[unsafe(no_mangle)]
pub extern "C" fn soil_file_stat(fd: Int, mut into: Ints, token: Int) -> Int {
    call(|rt| glue::file_stat(rt, Fd::decode(fd)?, into.piece(), token))
}

/// Fills `into` with the `Contents` of the file and returns 1 if they lie in memory for good; else
/// returns 0.
#[unsafe(no_mangle)]
pub extern "C" fn soil_file_contents(fd: Int, mut into: Ints, token: Int) -> Int {
    call(|rt| glue::contents(rt, Fd::decode(fd)?, into.piece(), token))
}

/// Opens the directory at `path` for [`soil_directory_next`]; the result is its descriptor.
#[unsafe(no_mangle)]
pub extern "C" fn soil_fs_directory(path: Text, token: Int) -> Int {
    call(|rt| glue::directory(rt, path.utf8()?, token))
}

/// Writes the next entries to `into[0 .. len]`, as many as fit, each as kind (1 byte, `ENTRY_*`),
/// length of the name (2 bytes, low one first), name; the result is the number of bytes, 0 after
/// the last entry. Errors: `Invalid` if not even one entry fits.
#[unsafe(no_mangle)]
pub extern "C" fn soil_directory_next(fd: Int, into: Buffer, len: Int, token: Int) -> Int {
    call(|rt| glue::directory_next(rt, Fd::decode(fd)?, into.piece(0, len)?, token))
}

/// Makes an empty directory.
#[unsafe(no_mangle)]
pub extern "C" fn soil_fs_mkdir(path: Text, token: Int) -> Int {
    call(|rt| glue::mkdir(rt, path.utf8()?, token))
}

/// Removes an empty directory.
#[unsafe(no_mangle)]
pub extern "C" fn soil_fs_remove_directory(path: Text, token: Int) -> Int {
    call(|rt| glue::remove_directory(rt, path.utf8()?, token))
}

/// Gives `from` the path `to` on the same volume. What has it already is replaced if `how` is 0, an
/// error if it is 1, and gets the path `from` if it is 2, as with the flags of Linux's `renameat2`.
/// Errors: `Cross_volume`, `Busy`, `Exists`, `Unsupported`, …
#[unsafe(no_mangle)]
pub extern "C" fn soil_fs_rename(from: Text, to: Text, how: Int, token: Int) -> Int {
    call(|rt| glue::rename(rt, from.utf8()?, to.utf8()?, how, token))
}

/// Gives the file at `path` a second name, `new`, on the same volume. Errors: `Cross_volume`,
/// `Unsupported`, `Too_many_links`, …
#[unsafe(no_mangle)]
pub extern "C" fn soil_fs_link(path: Text, new: Text, token: Int) -> Int {
    call(|rt| glue::link(rt, path.utf8()?, new.utf8()?, token))
}

/// Makes the symbolic link `path`, which says `target`. Errors: `Exists`, `Unsupported`, …
#[unsafe(no_mangle)]
pub extern "C" fn soil_fs_symlink(target: Text, path: Text, token: Int) -> Int {
    call(|rt| glue::symlink(rt, target.utf8()?, path.utf8()?, token))
}

/// Writes what the symbolic link `path` says to `into[0 .. len]`, cut where it doesn't fit; the
/// result is its whole length. Errors: `Invalid` if it is none.
#[unsafe(no_mangle)]
pub extern "C" fn soil_fs_readlink(path: Text, into: Buffer, len: Int, token: Int) -> Int {
    call(|rt| glue::readlink(rt, path.utf8()?, into.piece(0, len)?, token))
}

/// Writes the path of what `path` names, without symbolic links, to `into[0 .. len]`, cut where it
/// doesn't fit; the result is its whole length.
#[unsafe(no_mangle)]
pub extern "C" fn soil_fs_realpath(path: Text, into: Buffer, len: Int, token: Int) -> Int {
    call(|rt| glue::realpath(rt, path.utf8()?, into.piece(0, len)?, token))
}

/// Removes a file. Errors: `Is_directory`, `Busy` when it is open.
#[unsafe(no_mangle)]
pub extern "C" fn soil_fs_unlink(path: Text, token: Int) -> Int {
    call(|rt| glue::unlink(rt, path.utf8()?, token))
}

/// Completes when everything written to the volume that holds `path` so far is on its disk.
#[unsafe(no_mangle)]
pub extern "C" fn soil_fs_sync_volume(path: Text, token: Int) -> Int {
    call(|rt| glue::sync_volume(rt, path.utf8()?, token))
}

/// Completes when everything written to any volume so far is on its disk.
#[unsafe(no_mangle)]
pub extern "C" fn soil_fs_sync(token: Int) -> Int {
    call(|rt| glue::sync(rt, token))
}

/// Fills `into` with the `Space` of the volume that holds `path`, and writes its mount point, its
/// source and the fault of a corrupt one, a line each, to `text[0 .. len]`. The result is the
/// length of that text.
#[unsafe(no_mangle)]
pub extern "C" fn soil_fs_space(
    path: Text,
    mut into: Ints,
    text: Buffer,
    len: Int,
    token: Int,
) -> Int {
    call(|rt| glue::space(rt, path.utf8()?, into.piece(), text.piece(0, len)?, token))
}

/// Mounts as `SOIL_MOUNT` does: `spec` is `/PATH=TYPE:SOURCE`, or without `TYPE:`, and with `,ro`
/// to read only. Errors: `No_device`, `Exists`, `Corrupt`, `Unsupported`, `Bad_configuration`, …
#[unsafe(no_mangle)]
pub extern "C" fn soil_fs_mount(spec: Text, token: Int) -> Int {
    call(|rt| glue::mount(rt, spec.utf8()?, token))
}

/// Makes everything on the volume at `point` durable and gives it up. Errors: `Not_found`, `Busy`
/// while something on it is open, `Io`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_fs_unmount(point: Text, token: Int) -> Int {
    call(|rt| glue::unmount(rt, point.utf8()?, token))
}

/// Fills `into` with the `CacheStatistics` of the volume mounted at `point`, or, if that is empty,
/// of all volumes since the program started. The result is 0. Errors: `Not_found` if nothing is
/// mounted there.
#[unsafe(no_mangle)]
pub extern "C" fn soil_cache_statistics(point: Text, mut into: Ints) -> Int {
    call(|rt| {
        let point = point.utf8()?;
        let statistics = glue::statistics(rt, point).ok_or(Error::NotFound)?;
        into.fill(&statistics.numbers());
        Ok(0)
    })
}

/// Lends at most `len` bytes of the file, 1 MiB at once, from byte `position` on, as they lie in
/// memory, after having read missing parts. The result is the number of the lease, at least 1,
/// or 0 at the end of the file. It has one slice or several, which [`soil_file_lease_next`] shows;
/// there may be fewer bytes than `len` in them. Errors: as `soil_file_read`, and `Out_of_memory`
/// while 256 leases, or half of the cache's memory, haven't been ended, or are ended but still
/// looked at.
#[unsafe(no_mangle)]
pub extern "C" fn soil_file_lease(fd: Int, position: Int, len: Int, token: Int) -> Int {
    call(|rt| glue::lend(rt, Fd::decode(fd)?, position, len, token))
}

/// Points `into` at the next slice of a lease; returns its length in bytes, 0 after the last one,
/// with which `into` is left alone. The first time `into` is an empty bigarray that isn't used for
/// anything else, then the same one. Errors: `Invalid` (no such lease, or it is another one's
/// bigarray).
#[unsafe(no_mangle)]
pub extern "C" fn soil_file_lease_next(lease: Int, mut into: Buffer) -> Int {
    call(|rt| glue::lease_next(rt, lease, &mut into.view()))
}

/// Ends a lease: `buffer`, the bigarray that showed its slices, is empty from now on. The memory is
/// used again once no part of it (`sub`) can be reached. Errors: `Invalid` (no such lease, or it is
/// another one's bigarray).
#[unsafe(no_mangle)]
pub extern "C" fn soil_file_lease_end(lease: Int, mut buffer: Buffer) -> Int {
    call(|rt| glue::lease_end(rt, lease, &mut buffer.view()))
}

/// Adds a file to the tree that [`soil_embed_mount`] mounts: `path` in the tree, and its contents.
/// A string that is static data of the program is used where it lies, for good; another one is
/// copied.
#[unsafe(no_mangle)]
pub extern "C" fn soil_embed_file(path: Text, contents: Text) -> Int {
    call(|rt| glue::embedded::add(rt, path.utf8()?, contents.for_good()))
}

/// Mounts the files that were added since the last call at `point`, unless `SOIL_MOUNT` names
/// something else for that. Errors: `Exists`, `Invalid_name`, `Out_of_memory`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_embed_mount(point: Text) -> Int {
    call(|rt| glue::embedded::mount(rt, point.utf8()?))
}
