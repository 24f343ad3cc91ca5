//! OpenStack's config drive: `openstack/latest` on a disk labelled `config-2`.
//!
//! Source: nova's documentation, "Config drives", and cloud-init's, "Config drive" (version 2).

use crate::folder::Folder;
use crate::value::text_at;
use crate::{Error, Instance, Source, network};
use alloc::format;
use alloc::vec::Vec;
use serde_json::Value;

/// Reads the instance.
///
/// # Errors
/// There are no metadata, or they can't be read.
pub fn read(folder: &mut Folder) -> Result<Instance, Error> {
    let metadata = folder
        .read("openstack/latest/meta_data.json")?
        .ok_or_else(|| Error::new("there is no file openstack/latest/meta_data.json"))?;
    let mut instance = Instance::new(Source::ConfigDrive);
    take_metadata(&mut instance, &metadata)?;
    for name in ["vendor_data.json", "vendor_data2.json"] {
        // nova writes `{}` where a provider has none.
        let found = folder.read(&format!("openstack/latest/{name}"));
        let is_blank = |bytes: Vec<u8>| matches!(bytes.trim_ascii(), b"" | b"{}");
        if !found.is_ok_and(|found| found.is_none_or(is_blank)) {
            instance.ignore(format!("the file {name}"));
        }
    }
    if let Some(user_data) = folder.read("openstack/latest/user_data")? {
        instance.set_user_data(user_data);
    }
    if let Some(document) = folder.read("openstack/latest/network_data.json")? {
        instance.set_network(|ignore| network::read_openstack(&document, ignore));
    }
    Ok(instance)
}

/// Takes the identifier and the host name of OpenStack's `meta_data.json`.
pub fn take_metadata(instance: &mut Instance, document: &[u8]) -> Result<(), Error> {
    let metadata: Value = serde_json::from_slice(document)
        .map_err(|error| Error::new(format!("meta_data.json: not JSON: {error}")))?;
    if let Some(id) = text_at(&metadata, "uuid") {
        instance.set_id(&id);
    }
    // Contents for the guest's file system; the other keys describe the machine.
    for key in ["files", "network_config"] {
        if metadata.get(key).is_some_and(|value| !value.is_null()) {
            instance.ignore(format!("{key} of meta_data.json"));
        }
    }
    let name = text_at(&metadata, "hostname").or_else(|| text_at(&metadata, "name"));
    if let Some(name) = name {
        instance.set_host_name(&name);
    }
    Ok(())
}
