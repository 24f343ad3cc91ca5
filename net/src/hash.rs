//! Hash tables: a hash for keys that peers choose, and an index of entries stored elsewhere.

mod index;
mod keyed;

pub(crate) use index::Index;
pub(crate) use keyed::KeyedHash;
