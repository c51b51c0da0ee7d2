//! Sources of streamed installs that lie: every lie is refused for what it is, leaves nothing, and costs
//! nothing but time when an honest source is there as well.
#![expect(
    clippy::disallowed_methods,
    reason = "a test looks at the disk from outside"
)]

mod lies;
mod receivers;

use std::{fs, path::Path, sync::Arc};

use lanspread_disk::Disk;
use lanspread_testkit::{GameTree, eventually};
use tokio::time::timeout;

use self::lies::{Lie, lies, stalls, wants_more_room_than_there_is};
use super::{PATIENCE, RealPeer, Wares, game_of, liar::Lies};
use crate::{
    ArchiveFile, InstallSummary, OperationError, Services, StreamInstallFrameSink,
    StreamInstallProvider, StreamInstallRequest, Totals, UnpackError,
};

/// All that lies in a folder of games without a game.
const LOCK: &str = ".lanspread.lock";

/// What an honest source expands its game to.
const PATH: &str = "data/level.dat";
const CONTENT: &[u8] = b"honest";

/// Takes every file for an archive with one file.
struct Honest;

impl StreamInstallProvider for Honest {
    fn recognises(&self, _: &ArchiveFile) -> Result<bool, UnpackError> {
        Ok(true)
    }

    fn expand(
        &self,
        _: &[ArchiveFile],
        sink: &mut StreamInstallFrameSink,
    ) -> Result<(), UnpackError> {
        sink.begin(Totals::default())?;
        sink.file(&PATH.parse().unwrap(), CONTENT.len() as u64, false)?;
        sink.data(CONTENT)?;
        Ok(sink.file_end()?)
    }
}

/// A game that is one archive, at least by its name.
fn archived() -> (GameTree, Wares) {
    game_of("doom", "game.eti", 1000)
}

async fn honest() -> RealPeer {
    let (tree, _) = archived();
    let services = Services::default().with_provider(Arc::new(Honest));
    RealPeer::start_with(services, &[&tree], |_| {}).await
}

async fn streams(receiver: &RealPeer, wares: &Wares) -> Result<InstallSummary, OperationError> {
    let request = StreamInstallRequest::latest(wares.game.clone());
    let operation = receiver.handle.stream_install(request).await?;
    let ended = timeout(PATIENCE, operation).await;
    ended.expect("a streamed install ends in time")
}

/// Every path under `folder`, relative to it.
fn below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            found.push(path.strip_prefix(folder).unwrap().display().to_string());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            }
        }
    }
    found
}

/// Told alone, the lie is refused and leaves nothing; told beside the truth, it costs time and nothing else.
async fn is_refused(lie: Lie, honest: Arc<RealPeer>) {
    let (_, wares) = archived();
    let what = lie.what;
    let disk = honest.handle.context.home().disk.clone();
    let free = disk.free_space().unwrap().free_bytes;
    // Little room, and enough of it that others may use some meanwhile.
    let reserve_bytes = free - (free / 2).min(100 << 30);
    let receiver = RealPeer::start(&[], |config| config.reserve_bytes = Some(reserve_bytes)).await;
    let lies = Lies::none(&wares).expanded(lie.frames, lie.end);
    let liar = lies.tell();
    let handle = &receiver.handle;
    handle.connect(&liar.addr.to_string()).await.unwrap();
    receiver.sees(&wares.game, 1).await;

    let error = streams(&receiver, &wares).await.expect_err(what);
    assert_eq!(error.code(), lie.code, "{what}: {error}");
    let shown = crate::Failure::new(error.code(), &error).message;
    assert!(shown.contains(lie.refused), "{what}: {shown}");
    assert_eq!(below(&receiver.game_dir()), [LOCK], "{what}");
    let written = below(receiver.dir.path());
    assert!(
        !written.iter().any(|path| path.contains("evil")),
        "{what}: {written:?}"
    );

    handle.connect(&honest.addr().to_string()).await.unwrap();
    receiver.sees(&wares.game, 2).await;
    let done = streams(&receiver, &wares).await;
    done.unwrap_or_else(|error| panic!("{what}: {error}"));
    let local = receiver.game_dir().join("doom/local");
    assert_eq!(fs::read(local.join(PATH)).unwrap(), CONTENT, "{what}");
    let mut inside: Vec<_> = below(&local);
    inside.retain(|path| !lanspread_proto::names::is_owned_marker(path));
    inside.sort();
    assert_eq!(inside, ["data", PATH], "{what}");
    receiver.handle.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_lie_is_refused_for_what_it_is_and_leaves_nothing() {
    let (_, wares) = archived();
    let honest = Arc::new(honest().await);
    for lie in lies(&wares) {
        is_refused(lie, honest.clone()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_claims_to_need_more_room_than_there_is_does_not_end_it_for_all() {
    let (_, wares) = archived();
    is_refused(
        wants_more_room_than_there_is(&wares),
        Arc::new(honest().await),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_stalls_in_a_file_is_given_up_and_meanwhile_only_the_staging_folder_is_there() {
    let (_, wares) = archived();
    let honest = honest().await;
    let receiver = RealPeer::start(&[], |_| {}).await;
    let lie = stalls(&wares);
    let lies = Lies::none(&wares).expanded(lie.frames, lie.end);
    let liar = lies.tell();
    let handle = &receiver.handle;
    handle.connect(&liar.addr.to_string()).await.unwrap();
    receiver.sees(&wares.game, 1).await;
    let staging = "doom/.local.installing";
    let look = async {
        let file = receiver.game_dir().join(staging).join("evil");
        eventually("bytes of the liar", || file.exists()).await;
        let mut outside = below(&receiver.game_dir());
        outside.retain(|path| path != "doom" && !path.starts_with(staging));
        assert_eq!(outside, [LOCK]);
        handle.connect(&honest.addr().to_string()).await.unwrap();
    };
    let (done, ()) = tokio::join!(streams(&receiver, &wares), look);
    done.unwrap();
    assert_eq!(liar.asked(), 1);
    let root = receiver.game_dir();
    assert_eq!(
        fs::read(root.join("doom/local").join(PATH)).unwrap(),
        CONTENT
    );
    assert!(!root.join(staging).exists() && !root.join("doom/local/evil").exists());
}
