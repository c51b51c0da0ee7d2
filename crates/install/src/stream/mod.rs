//! Streamed installs: one peer expands its archives, another one installs what arrives.
//!
//! On the sending side a [`StreamInstallProvider`] is injected, like an [`Unpacker`](crate::Unpacker);
//! [`expand`] lets it write into a [`StreamInstallFrameSink`], which makes wire bytes of it. On the
//! receiving side a [`StreamedInstallTransaction`] takes wire bytes and is an install transaction
//! underneath. Neither knows what carries the bytes.

mod receive;
mod send;

pub use self::{
    receive::{
        StreamInstallError, StreamStep, StreamedInstallRequest, StreamedInstallTransaction,
        WireSource,
    },
    send::{
        ExpandError, ReceiverGone, StreamInstallFrameSink, StreamInstallProvider, WireChannel,
        expand,
    },
};
