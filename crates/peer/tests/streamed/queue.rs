//! More receivers than a source can serve at once.

use std::collections::BTreeSet;

use lanspread_peer::{PeerEvent, StreamInstallRequest};
use lanspread_testkit::{Lab, eventually};

use crate::{
    provider::TestProvider,
    stories::{assert_installed, doom, is_idle, source},
};

/// Two are served, eight wait, and two are turned away and come back.
const RECEIVERS: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn two_are_served_eight_wait_and_the_rest_come_back() {
    let (lab, provider) = (Lab::new(), TestProvider::held());
    let source = source(&lab, "source", &provider).await;
    let mut receivers = Vec::new();
    for number in 0..RECEIVERS {
        let receiver = lab.peer(&format!("receiver {number}")).knows(&source);
        let receiver = receiver.start().await;
        receiver.sees("doom", 1).await;
        let request = StreamInstallRequest::latest(doom());
        let operation = receiver.handle.stream_install(request).await.unwrap();
        receivers.push((receiver, operation));
    }
    eventually("a full queue", || {
        provider.jobs() == 2 && source.handle.status().queued_receivers.get(&doom()) == Some(&8)
    })
    .await;
    let positions = || -> BTreeSet<u32> {
        let told = receivers.iter().flat_map(|(receiver, _)| receiver.told());
        let position = |event| match event {
            PeerEvent::Queued { position, .. } => Some(position),
            _ => None,
        };
        told.filter_map(position).collect()
    };
    eventually("every place told", || positions() == (1..=8).collect()).await;
    provider.let_go();
    for (receiver, operation) in receivers {
        operation.await.unwrap();
        assert_installed(&receiver, "1");
    }
    assert_eq!(provider.most_jobs(), 2);
    is_idle(&source, &provider).await;
}
