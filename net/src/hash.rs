//! Hash tables: the hash of keys that peers choose, and an index of entries that lie elsewhere.

mod index;
mod keyed;

pub(crate) use index::Index;
pub(crate) use keyed::KeyedHash;
