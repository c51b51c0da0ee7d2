//! What the transport alone carries: a MiB to a stream, eight streams at a time, hashed by nobody and stored nowhere.
//! The ceiling to which the bench holds a download.
//!
//! `raw_transport serve ADDRESS CERTIFICATE`, which writes its certificate there, and
//! `raw_transport fetch ADDRESS CERTIFICATE BYTES`.

use std::{net::SocketAddr, path::Path};

use anyhow::{Context, bail};
use bytes::Bytes;
use s2n_quic::{Client, Server, client::Connect, connection::Handle};

const STREAM_BYTES: u64 = 1024 * 1024;

const LANES: u64 = 8;

/// The name that the certificate carries.
const NAME: &str = "bench";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["serve", addr, certificate] => serve(addr.parse()?, certificate.as_ref()).await,
        ["fetch", addr, certificate, bytes] => {
            fetch(addr.parse()?, certificate.as_ref(), bytes.parse()?).await
        }
        _ => bail!("serve ADDRESS CERTIFICATE, or fetch ADDRESS CERTIFICATE BYTES"),
    }
}

/// Answers whatever opens a stream, until it is killed.
#[expect(
    clippy::disallowed_methods,
    reason = "a certificate for whoever started it, no game"
)]
async fn serve(addr: SocketAddr, certificate: &Path) -> anyhow::Result<()> {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
    let (public, private) = (made.cert.pem(), made.signing_key.serialize_pem());
    let mut server = Server::builder()
        .with_io(addr)?
        .with_tls((public.as_str(), private.as_str()))?
        .start()
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    std::fs::write(certificate, public)?;
    while let Some(mut connection) = server.accept().await {
        tokio::spawn(async move {
            while let Ok(Some(mut stream)) = connection.accept_bidirectional_stream().await {
                tokio::spawn(async move {
                    let mebibyte = Bytes::from(vec![0; usize::try_from(STREAM_BYTES)?]);
                    stream.receive().await?;
                    stream.send(mebibyte).await?;
                    stream.finish()?;
                    anyhow::Ok(())
                });
            }
        });
    }
    Ok(())
}

async fn fetch(addr: SocketAddr, certificate: &Path, bytes: u64) -> anyhow::Result<()> {
    let client = Client::builder()
        .with_io("0.0.0.0:0")?
        .with_tls(certificate)?
        .start()
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    let connection = client
        .connect(Connect::new(addr).with_server_name(NAME))
        .await
        .context("nobody answers")?;
    let streams = bytes.div_ceil(STREAM_BYTES * LANES);
    let lanes = (0..LANES).map(|_| tokio::spawn(fetch_lane(connection.handle(), streams)));
    for lane in lanes.collect::<Vec<_>>() {
        lane.await??;
    }
    Ok(())
}

/// Fetches so many streams, one after another.
async fn fetch_lane(mut connection: Handle, streams: u64) -> anyhow::Result<()> {
    for _ in 0..streams {
        let mut stream = connection.open_bidirectional_stream().await?;
        stream.send(Bytes::from_static(b"?")).await?;
        let mut received = 0;
        while let Some(piece) = stream.receive().await? {
            received += piece.len() as u64;
        }
        anyhow::ensure!(
            received == STREAM_BYTES,
            "a stream ended after {received} bytes"
        );
    }
    Ok(())
}
