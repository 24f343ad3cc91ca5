//! A layer: files and folders as a compressed tar archive.

use crate::failure::{Context as _, Failure};
use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use tar::{Builder, EntryType, Header};

/// A user and the group of the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner(pub u32);

#[derive(Debug)]
enum Content {
    Folder,
    Bytes(Vec<u8>),
    File(PathBuf),
}

#[derive(Debug)]
struct Entry {
    content: Content,
    mode: u32,
    owner: Owner,
}

/// The files of a layer by their paths, without a slash in front. Sorted, so that a folder comes
/// before its contents.
#[derive(Debug, Default)]
pub struct Tree(BTreeMap<String, Entry>);

/// The digests of a layer.
#[derive(Debug, PartialEq, Eq)]
pub struct Digests {
    /// Of the archive: the layer's `diff_id`.
    pub archive: String,
    /// Of the compressed archive: its blob's name.
    pub blob: String,
    /// Bytes of the blob.
    pub size: u64,
}

impl Tree {
    /// Adds a folder, and those that it is in.
    pub fn folder(&mut self, path: &str, mode: u32, owner: Owner) {
        self.add(path, Content::Folder, mode, owner);
    }

    /// Adds a file with these bytes.
    pub fn bytes(&mut self, path: &str, bytes: Vec<u8>, mode: u32, owner: Owner) {
        self.add(path, Content::Bytes(bytes), mode, owner);
    }

    /// Adds a copy of a file, which is read when the layer is written.
    pub fn file(&mut self, path: &str, source: &Path, mode: u32, owner: Owner) {
        self.add(path, Content::File(source.to_owned()), mode, owner);
    }

    fn add(&mut self, path: &str, content: Content, mode: u32, owner: Owner) {
        let ends = path.match_indices('/').map(|(end, _)| end);
        for parent in ends.filter_map(|end| path.get(..end)) {
            self.0.entry(parent.to_owned()).or_insert(Entry {
                content: Content::Folder,
                mode: 0o755,
                owner: Owner(0),
            });
        }
        let entry = Entry {
            content,
            mode,
            owner,
        };
        self.0.insert(path.to_owned(), entry);
    }

    /// Writes the compressed archive.
    pub fn write(&self, to: impl Write) -> Result<Digests, Failure> {
        // No name and no time in gzip's header.
        let blob = GzBuilder::new().write(Digesting::new(to), Compression::best());
        let mut archive = Builder::new(Digesting::new(blob));
        for (path, entry) in &self.0 {
            entry.write(path, &mut archive).on(path)?;
        }
        let archive = archive.into_inner().on("the layer")?;
        let (blob, archive, _) = archive.finish();
        let blob = blob.finish().on("the layer")?;
        let (mut to, blob, size) = blob.finish();
        to.flush().on("the layer")?;
        Ok(Digests {
            archive,
            blob,
            size,
        })
    }
}

impl Entry {
    fn write(&self, path: &str, archive: &mut Builder<impl Write>) -> io::Result<()> {
        let mut header = Header::new_ustar();
        header.set_mode(self.mode);
        header.set_uid(self.owner.0.into());
        header.set_gid(self.owner.0.into());
        header.set_mtime(0);
        let mut file;
        let (kind, size, content): (_, u64, &mut dyn Read) = match &self.content {
            Content::Folder => (EntryType::Directory, 0, &mut io::empty()),
            Content::Bytes(bytes) => (
                EntryType::Regular,
                bytes.len() as u64,
                &mut bytes.as_slice(),
            ),
            Content::File(source) => {
                file = File::open(source)?;
                let size = file.metadata()?.len();
                (EntryType::Regular, size, &mut file)
            }
        };
        header.set_entry_type(kind);
        header.set_size(size);
        let mut content = content.take(size);
        archive.append_data(&mut header, path, &mut content)?;
        match content.limit() {
            0 => Ok(()),
            _ => Err(io::Error::other("it became shorter while it was read")),
        }
    }
}

/// Passes bytes on, and computes their digest.
struct Digesting<W> {
    to: W,
    digest: Sha256,
    count: u64,
}

impl<W> Digesting<W> {
    fn new(to: W) -> Self {
        Self {
            to,
            digest: Sha256::new(),
            count: 0,
        }
    }

    /// Returns the destination, the digest and the number of bytes.
    fn finish(self) -> (W, String, u64) {
        (self.to, name(&self.digest.finalize()), self.count)
    }
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.to.write(bytes)?;
        self.digest.update(bytes.get(..count).unwrap_or_default());
        self.count += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// The digest of these bytes as OCI writes it.
pub fn digest(bytes: &[u8]) -> String {
    name(&Sha256::digest(bytes))
}

fn name(digest: &[u8]) -> String {
    let digits = digest.iter().map(|byte| format!("{byte:02x}"));
    format!("sha256:{}", digits.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::{Owner, Tree, digest};
    use flate2::read::GzDecoder;
    use std::io::Read as _;

    /// Path, kind, mode, owner and contents of each entry.
    fn entries(blob: &[u8]) -> Vec<(String, char, u32, u64, Vec<u8>)> {
        let mut archive = tar::Archive::new(GzDecoder::new(blob));
        let entries = archive.entries().expect("an archive").map(|entry| {
            let mut entry = entry.expect("an entry");
            let header = entry.header().clone();
            let kind = if header.entry_type().is_dir() {
                'd'
            } else {
                'f'
            };
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("its bytes");
            assert_eq!(header.mtime().expect("a time"), 0);
            assert_eq!(
                header.uid().expect("a user"),
                header.gid().expect("a group")
            );
            (
                entry.path().expect("a path").to_string_lossy().into_owned(),
                kind,
                header.mode().expect("a mode"),
                header.uid().expect("a user"),
                bytes,
            )
        });
        entries.collect()
    }

    #[test]
    fn entries_are_sorted_and_have_their_folders_before_them() {
        let mut tree = Tree::default();
        tree.bytes("z", b"last".to_vec(), 0o444, Owner(107));
        tree.bytes("a/b/c", Vec::new(), 0o555, Owner(0));
        tree.folder("a", 0o1777, Owner(7));
        let mut blob = Vec::new();
        let digests = tree.write(&mut blob).expect("written");
        assert_eq!(
            entries(&blob),
            [
                ("a".into(), 'd', 0o1777, 7, Vec::new()),
                ("a/b".into(), 'd', 0o755, 0, Vec::new()),
                ("a/b/c".into(), 'f', 0o555, 0, Vec::new()),
                ("z".into(), 'f', 0o444, 107, b"last".to_vec()),
            ]
        );
        let mut archive = Vec::new();
        GzDecoder::new(&blob[..])
            .read_to_end(&mut archive)
            .expect("gzip");
        assert_eq!(digests.archive, digest(&archive));
        assert_eq!(
            (digests.blob, digests.size),
            (digest(&blob), blob.len() as u64)
        );
        let mut again = Vec::new();
        tree.write(&mut again).expect("written");
        assert_eq!(blob, again, "the same input makes the same bytes");
    }

    #[test]
    fn a_digest_is_sha_256_in_hexadecimal() {
        // FIPS 180-4's example.
        assert_eq!(
            digest(b"abc"),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn a_missing_file_is_named() {
        let mut tree = Tree::default();
        tree.file("a", "/nowhere/x".as_ref(), 0o444, Owner(0));
        let error = tree.write(Vec::new()).expect_err("no such file");
        assert!(error.to_string().starts_with("a: No such file"), "{error}");
    }
}
