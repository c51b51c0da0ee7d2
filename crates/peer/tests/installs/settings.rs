//! What an embedder keeps for an installed game.

use lanspread_peer::{ErrorCode, proto::limits::LAUNCH_SETTINGS_BYTES_MAX};
use lanspread_testkit::Lab;
use serde_json::{Value, json};

use crate::stories::{doom, source_and_receiver};

#[tokio::test(flavor = "multi_thread")]
async fn settings_live_as_long_as_the_installed_version() {
    let lab = Lab::new();
    let (_source, peer, _) = source_and_receiver(&lab).await;
    let settings = json!({"arguments": ["-window"], "fullscreen": false});
    let refused = peer
        .handle
        .set_launch_settings(&doom(), settings.clone())
        .await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::NotInstalled);
    let refused = peer.handle.launch_settings(&doom()).await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::NotInstalled);

    peer.downloads("doom").await;
    assert_eq!(peer.handle.launch_settings(&doom()).await.unwrap(), None);
    peer.handle
        .set_launch_settings(&doom(), settings.clone())
        .await
        .unwrap();
    assert_eq!(
        peer.handle.launch_settings(&doom()).await.unwrap(),
        Some(settings)
    );
    peer.handle.install(doom()).await.unwrap().await.unwrap();
    assert_eq!(peer.handle.launch_settings(&doom()).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_small_and_can_be_read_again() {
    let lab = Lab::new();
    let (_source, peer, _) = source_and_receiver(&lab).await;
    peer.downloads("doom").await;
    let text = |bytes: u64| Value::String("x".repeat(usize::try_from(bytes).unwrap() - 2));
    let fits = text(LAUNCH_SETTINGS_BYTES_MAX);
    peer.handle
        .set_launch_settings(&doom(), fits.clone())
        .await
        .unwrap();
    let too_long = text(LAUNCH_SETTINGS_BYTES_MAX + 1);
    let refused = peer
        .handle
        .set_launch_settings(&doom(), too_long)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Limit, "{refused}");
    let deep = (0..500).fold(json!(1), |inside, _| json!([inside]));
    peer.handle
        .set_launch_settings(&doom(), deep)
        .await
        .unwrap_err();
    assert_eq!(
        peer.handle.launch_settings(&doom()).await.unwrap(),
        Some(fits)
    );
}
