//! NoCloud: `meta-data`, `user-data` and `network-config` in the root of a disk labelled `cidata`.
//!
//! Source: cloud-init's documentation, "NoCloud".

use crate::folder::Folder;
use crate::value::{other_keys, text_at};
use crate::{Error, Instance, Source, network, yaml};
use alloc::string::String;
use alloc::vec::Vec;

/// Reads the instance.
///
/// # Errors
/// There are no metadata, or they can't be read.
pub fn read(folder: &mut Folder) -> Result<Instance, Error> {
    let metadata = folder
        .read("meta-data")?
        .ok_or_else(|| Error::new("there is no file meta-data"))?;
    let metadata = yaml::parse(&metadata).map_err(|error| error.within("meta-data"))?;
    let mut instance = Instance::new(Source::NoCloud);
    if let Some(id) = text_at(&metadata, "instance-id") {
        instance.set_id(&id);
    }
    let name = text_at(&metadata, "local-hostname").or_else(|| text_at(&metadata, "hostname"));
    if let Some(name) = name {
        instance.set_host_name(&name);
    }
    let others = other_keys(&metadata, &["instance-id", "local-hostname", "hostname"]);
    if !others.is_empty() {
        instance.ignore(alloc::format!("keys of meta-data: {others}"));
    }
    if let Some(user_data) = folder.read("user-data")? {
        instance.set_user_data(user_data);
    }
    let vendor_data = folder.read("vendor-data");
    let is_blank = |bytes: Vec<u8>| bytes.trim_ascii().is_empty();
    if !vendor_data.is_ok_and(|found| found.is_none_or(is_blank)) {
        instance.ignore(String::from("the file vendor-data"));
    }
    if let Some(document) = folder.read("network-config")? {
        instance.set_network(|ignore| network::read(&document, ignore));
    }
    Ok(instance)
}
