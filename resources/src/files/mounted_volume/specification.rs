//! Mount specifications: the words of `SOIL_MOUNT`: `POINT=TYPE:SOURCE[,ro|,grow]`, separated by
//! `;`.

use super::drivers;
use ::fs::mounts::Word;
use alloc::format;
use alloc::string::{String, ToString};
use platform::error::{Error, Failure};

/// One mount of `SOIL_MOUNT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Specification {
    /// An absolute path.
    pub point: String,
    /// File-system driver; `None` to detect it on the disk.
    pub driver: Option<String>,
    /// Name of a disk, with `/` and a partition's number or label if necessary; for other drivers,
    /// their own source.
    pub source: String,
    /// Whether the mount is read-only.
    pub read_only: bool,
    /// Whether the volume grows to the size of its disk.
    pub grow: bool,
}

impl Specification {
    /// Parses one word.
    pub fn parse(word: &str) -> Result<Specification, Failure> {
        let wrong = || {
            let detail = format!(
                "\"{word}\" is not of the form /data=fat:DISK or /data=DISK, \
                 with ,ro at its end to read only, or ,grow to use a disk that became larger"
            );
            Failure::new(Error::BadConfiguration, detail)
        };
        let Word {
            point,
            kind,
            source,
            read_only,
            grow,
        } = Word::parse(word).ok_or_else(wrong)?;
        if let Some(kind) = kind
            && !drivers::exists(kind)
        {
            return Err(drivers::find(&[], kind).map_or_else(
                |failure| {
                    let detail = format!("\"{word}\": {}", failure.detail);
                    Failure::new(Error::BadConfiguration, detail)
                },
                |_| wrong(),
            ));
        }
        if !point.starts_with('/')
            || source.is_empty() && !matches!(kind, Some("memory" | "initrd"))
        {
            return Err(wrong());
        }
        Ok(Specification {
            point: point.to_string(),
            driver: kind.map(ToString::to_string),
            source: source.to_string(),
            read_only,
            grow,
        })
    }

    /// Returns the disk, and the partition of it.
    pub fn disk(&self) -> (&str, Option<&str>) {
        match self.source.split_once('/') {
            Some((disk, partition)) => (disk, Some(partition)),
            None => (&self.source, None),
        }
    }

    /// Whether the source is a disk, and not memory or a folder.
    pub fn is_on_disk(&self) -> bool {
        !matches!(
            self.driver.as_deref(),
            Some("memory" | "initrd" | "host" | "embed")
        )
    }

    /// Returns the name for messages.
    pub fn label(&self) -> String {
        if self.is_on_disk() {
            format!("disk {}", self.source)
        } else {
            let kind = self.driver.as_deref().unwrap_or_default();
            let space = if self.source.is_empty() { "" } else { " " };
            format!("{} ({kind}{space}{})", self.point, self.source)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Specification;
    use proptest::prelude::{any, proptest};
    use std::string::String;

    #[test]
    fn reads_mounts() {
        let spec = Specification::parse("/data=fat:disk0").expect("valid");
        assert_eq!(
            (spec.point.as_str(), spec.driver.as_deref(), spec.disk()),
            ("/data", Some("fat"), ("disk0", None))
        );
        let spec = Specification::parse("/data=ext4:disk0/2,ro").expect("valid");
        assert_eq!((spec.disk(), spec.read_only), (("disk0", Some("2")), true));
        let spec = Specification::parse("/data=ext4:disk0/2,grow").expect("valid");
        assert_eq!(spec.disk(), ("disk0", Some("2")));
        assert!(spec.grow && !spec.read_only);
        let spec = Specification::parse("/data=disk0/my label").expect("valid");
        assert_eq!(
            (spec.driver.as_deref(), spec.disk()),
            (None, ("disk0", Some("my label")))
        );
        let spec = Specification::parse("/tmp=memory:16M").expect("valid");
        assert!(!spec.is_on_disk() && spec.label() == "/tmp (memory 16M)");
        assert!(Specification::parse("/tmp=memory").is_ok());
        let spec = Specification::parse("/=initrd").expect("valid");
        assert!(!spec.is_on_disk() && spec.label() == "/ (initrd)");
        for wrong in [
            "",
            "data=fat:disk0",
            "/data",
            "/data=ext9:x",
            "/data=fat:",
            "/data=",
            "/data=,ro",
        ] {
            let line = Specification::parse(wrong).expect_err(wrong).detail;
            assert!(!line.contains('\n'), "{line}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(word in any::<String>()) {
            let _ = Specification::parse(&word).map(|spec| (spec.label(), spec.disk().1.is_some()));
        }
    }
}
