//! Archives byte by byte, so that they can lie.
//!
//! Real tools refuse to make what an attacker would send. These builders write each format's headers
//! themselves and believe every [`Entry`]: names are raw bytes, sizes may be declared wrong, kinds need
//! not be files. They compress only what a bomb needs, long runs of zeros.
//!
//! ```
//! use lanspread_testkit::archives::{Entry, Form, ZipBuilder};
//!
//! let lies = [
//!     Entry::file("../outside", "x"),
//!     Entry::symlink("way", "/etc"),
//!     Entry::file("short", "12345").declaring(3),
//! ];
//! let zip = ZipBuilder::new().entry(&lies[0]).deflated(&lies[2]).build();
//! assert!(zip.to_vec().starts_with(b"PK"));
//! // The same entries in every format that can express them; RAR 5 can.
//! assert!(Form::Rar5.pack(&lies).is_some());
//! ```
//!
//! What they make of honest entries is checked with other people's readers, in `tests/archives.rs`.

mod blob;
mod bytes;
mod deflate;
mod entry;
mod form;
mod lzma2;
mod mend;
mod rar4;
mod rar5;
mod seven_z;
mod tar;
mod wrap;
mod zip;

pub use self::{
    blob::Blob,
    entry::{Entry, EntryKind},
    form::Form,
    rar4::Rar4Builder,
    rar5::Rar5Builder,
    seven_z::{Coder, SevenZBuilder},
    tar::TarBuilder,
    wrap::Wrap,
    zip::ZipBuilder,
};
