//! The C interface of Soil.
