//! An image layout: a folder of blobs named by their digests, with an index.

use super::layer::{Digests, Tree, digest};
use crate::arch::Arch;
use crate::failure::{Context as _, Failure};
use serde_json::{Map, Value, json};
use std::fs;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The creation time of everything.
const TIME: &str = "1970-01-01T00:00:00Z";
/// The image's name in its layout, as `skopeo` and others select it.
const NAME: &str = "latest";
/// The file that every layout has.
const MARK: &str = "oci-layout";
/// The manifest's and the index's media types.
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A layout that is being written, in a folder beside its own.
pub struct Layout {
    output: PathBuf,
    folder: TempDir,
}

impl Layout {
    /// Begins a layout that will be the folder `output`. One that is there is replaced only if
    /// `replace` is set, and anything else never.
    pub fn new(output: &Path, replace: bool) -> Result<Self, Failure> {
        let output = std::path::absolute(output).on(output)?;
        if let Ok(mut entries) = fs::read_dir(&output)
            && entries.next().is_some()
        {
            match (output.join(MARK).is_file(), replace) {
                (true, true) => {}
                (true, false) => {
                    let remedy = "--force replaces it";
                    return Err(Failure::on(&output, "already exists").remedy(remedy));
                }
                (false, _) => {
                    let remedy = "remove it, or give another -o";
                    return Err(Failure::on(&output, "not an empty folder").remedy(remedy));
                }
            }
        }
        let parent = output.parent().unwrap_or(Path::new("/"));
        let folder = tempfile::Builder::new()
            .prefix(".soil-oci-")
            .tempdir_in(parent)
            .on(parent)?;
        fs::create_dir_all(folder.path().join("blobs/sha256")).on(&output)?;
        Ok(Self { output, folder })
    }

    fn blob(&self, digest: &str) -> PathBuf {
        let digits = digest.trim_start_matches("sha256:");
        self.folder.path().join("blobs/sha256").join(digits)
    }

    /// Writes the layer.
    pub fn layer(&self, tree: &Tree) -> Result<Digests, Failure> {
        let place = self.folder.path().join("layer");
        let file = fs::File::create(&place).on(&self.output)?;
        let digests = tree.write(BufWriter::new(file))?;
        fs::rename(place, self.blob(&digests.blob)).on(&self.output)?;
        Ok(digests)
    }

    /// Writes a JSON document as a blob, and returns its descriptor.
    fn document(&self, kind: &str, document: &Value) -> Result<Value, Failure> {
        let bytes = document.to_string().into_bytes();
        let digest = digest(&bytes);
        fs::write(self.blob(&digest), &bytes).on(&self.output)?;
        Ok(json!({ "mediaType": kind, "digest": digest, "size": bytes.len() }))
    }

    /// Writes the configuration, the manifest and the index for a program of this architecture, and
    /// puts the folder in its place. Returns the manifest's digest.
    pub fn finish(
        self,
        arch: Arch,
        layer: &Digests,
        config: Value,
        annotations: Map<String, Value>,
    ) -> Result<String, Failure> {
        let architecture = arch.debian();
        let platform = json!({ "architecture": architecture, "os": "linux" });
        let config = json!({
            "created": TIME,
            "architecture": architecture,
            "os": "linux",
            "config": config,
            "rootfs": { "type": "layers", "diff_ids": [layer.archive] },
            "history": [{ "created": TIME, "created_by": "soil image" }],
        });
        let config = self.document("application/vnd.oci.image.config.v1+json", &config)?;
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config,
            "layers": [{
                "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                "digest": layer.blob,
                "size": layer.size,
            }],
        });
        if !annotations.is_empty() {
            manifest["annotations"] = annotations.into();
        }
        let mut descriptor = self.document(MANIFEST, &manifest)?;
        let digest = descriptor["digest"].as_str().unwrap_or_default().to_owned();
        descriptor["platform"] = platform;
        descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": NAME });
        let index = json!({
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": [descriptor],
        });
        let write = |name: &str, document: Value| {
            fs::write(self.folder.path().join(name), document.to_string()).on(&self.output)
        };
        write("index.json", index)?;
        write(MARK, json!({ "imageLayoutVersion": "1.0.0" }))?;
        self.place()?;
        Ok(digest)
    }

    /// Renames the folder to its name, with the permissions of a new folder.
    fn place(self) -> Result<(), Failure> {
        // A layout that is replaced stays beside the new one until that is in its place.
        let old = self.folder.path().with_extension("old");
        let replaces = fs::remove_dir(&self.output).is_err() && self.output.exists();
        if replaces {
            fs::rename(&self.output, &old).on(&self.output)?;
        }
        fs::create_dir(&self.output).on(&self.output)?;
        let permissions = fs::metadata(&self.output).on(&self.output)?.permissions();
        fs::set_permissions(self.folder.path(), permissions).on(&self.output)?;
        // Replaces the empty folder (rename(2)).
        fs::rename(self.folder.path(), &self.output).on(&self.output)?;
        // It is gone.
        let _ = self.folder.keep();
        match replaces {
            true => fs::remove_dir_all(&old).on(&old),
            false => Ok(()),
        }
    }
}
