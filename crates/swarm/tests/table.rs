//! The peer table: dialling, liveness, pauses and duplicates, in virtual time.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    time::{Duration, Instant},
};

use lanspread_proto::{Hash, PeerId, limits};
use lanspread_swarm::{
    DropReason, LinkId, PeerTable, TableAction, TableConfig, TableInput, Whereabouts, WhyGone,
    keeps,
};

const ME: u8 = 100;

fn peer(number: u8) -> PeerId {
    PeerId::new(Hash::from_bytes([number; 32]))
}

fn addr(number: u16) -> SocketAddr {
    ([10, 0, 0, 1], number).into()
}

fn candidate(number: u16) -> TableInput {
    TableInput::Candidate {
        addr: addr(number),
        peer: None,
        manual: false,
    }
}

fn manual(number: u16) -> TableInput {
    TableInput::Candidate {
        addr: addr(number),
        peer: None,
        manual: true,
    }
}

fn connected(link: u64, who: u8, at: u16, dialled: bool) -> TableInput {
    TableInput::Connected {
        link: LinkId(link),
        peer: peer(who),
        addr: Some(addr(at)),
        dialled,
    }
}

fn dial(number: u16) -> TableAction {
    TableAction::Dial {
        addr: addr(number),
        expected: None,
    }
}

/// A table, its clock, and everything that it did.
struct Story {
    table: PeerTable,
    start: Instant,
    now: Instant,
    done: Vec<(Duration, TableAction)>,
}

impl Story {
    fn of(me: u8, seed: u64) -> Self {
        let start = Instant::now();
        let table = PeerTable::new(&TableConfig { seed, me: peer(me) });
        Self {
            table,
            start,
            now: start,
            done: Vec::new(),
        }
    }

    /// Feeds an input and gives what came of it.
    fn feed(&mut self, input: &TableInput) -> Vec<TableAction> {
        self.table.handle(self.now, input);
        let actions: Vec<_> = std::iter::from_fn(|| self.table.poll_action()).collect();
        self.done.extend(
            actions
                .iter()
                .map(|action| (self.now - self.start, action.clone())),
        );
        actions
    }

    /// Lets time pass, with a tick at each deadline; `react` answers what is done on the way.
    fn pass(
        &mut self,
        span: Duration,
        mut react: impl FnMut(Duration, &TableAction) -> Option<TableInput>,
    ) {
        let end = self.now + span;
        while let Some(due) = self.table.next_deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            let mut actions = self.feed(&TableInput::Tick);
            assert!(
                self.table
                    .next_deadline()
                    .is_none_or(|next| next > self.now || !actions.is_empty())
            );
            while let Some(action) = actions.pop() {
                if let Some(answer) = react(self.now - self.start, &action) {
                    actions.extend(self.feed(&answer));
                }
            }
        }
        self.now = end;
    }
}

fn nobody_answers(_: Duration, action: &TableAction) -> Option<TableInput> {
    match action {
        TableAction::Dial { addr, .. } => Some(TableInput::DialFailed {
            addr: *addr,
            reason: WhyGone::Unreachable,
        }),
        _ => None,
    }
}

#[test]
fn a_candidate_is_dialled_pinged_and_dropped_when_silent() {
    let mut story = Story::of(ME, 1);
    assert_eq!(story.feed(&candidate(1)), [dial(1)]);
    assert_eq!(
        story.table.whereabouts(story.now, addr(1)),
        Some(Whereabouts::Dialling)
    );
    assert_eq!(story.feed(&candidate(1)), []);
    assert_eq!(
        story.feed(&connected(7, 1, 1, true)),
        [TableAction::Ping { link: LinkId(7) }]
    );
    assert_eq!(
        story.table.whereabouts(story.now, addr(1)),
        Some(Whereabouts::Connected)
    );
    let rtt = Duration::from_millis(2);
    story.feed(&TableInput::Pong {
        link: LinkId(7),
        rtt,
    });
    assert_eq!(
        story.table.peers().collect::<Vec<_>>(),
        [(peer(1), Some(rtt))]
    );

    let silent_at = limits::KEEP_ALIVE + limits::IDLE_TIMEOUT;
    story.pass(silent_at, |_, _| None);
    let pings = story
        .done
        .iter()
        .filter(|(_, done)| matches!(done, TableAction::Ping { .. }));
    assert_eq!(pings.count(), 5, "{:?}", story.done);
    let (at, last) = story.done.last().unwrap();
    assert_eq!(*at, silent_at);
    let reason = DropReason::Silent;
    assert_eq!(
        *last,
        TableAction::Drop {
            link: LinkId(7),
            peer: peer(1),
            reason
        }
    );
    assert_eq!(story.table.peers().count(), 0);
    story.pass(Duration::from_secs(1), |_, _| None);
    assert!(
        matches!(story.done.last().unwrap().1, TableAction::Dial { .. }),
        "{:?}",
        story.done
    );
}

#[test]
fn a_large_room_costs_two_pings_a_second_and_a_hung_program_is_still_found() {
    let mut story = Story::of(ME, 1);
    let links: u64 = 100;
    for link in 0..links {
        let peer = u8::try_from(link).unwrap() + ME + 1;
        story.feed(&connected(link, peer, peer.into(), false));
    }
    let hung = LinkId(7);
    let pong = |action: &TableAction, hung: Option<LinkId>| match action {
        TableAction::Ping { link } if Some(*link) != hung => Some(TableInput::Pong {
            link: *link,
            rtt: Duration::from_millis(2),
        }),
        _ => None,
    };
    for link in 0..links {
        story.feed(&TableInput::Pong {
            link: LinkId(link),
            rtt: Duration::from_millis(2),
        });
    }
    story.done.clear();
    let turns = 4;
    let turn = Duration::from_millis(500 * links);
    story.pass(turn * turns, |_, action| pong(action, None));
    let pinged: BTreeSet<LinkId> = story
        .done
        .iter()
        .filter_map(|(_, done)| match done {
            TableAction::Ping { link } => Some(*link),
            _ => None,
        })
        .collect();
    assert_eq!(pinged.len() as u64, links);
    assert_eq!(
        story.done.len() as u64,
        links * u64::from(turns),
        "nothing but pings"
    );
    story.done.clear();
    story.pass(turn + limits::IDLE_TIMEOUT, |_, action| {
        pong(action, Some(hung))
    });
    let dropped: Vec<_> = story
        .done
        .iter()
        .filter_map(|(_, done)| match done {
            TableAction::Drop { link, reason, .. } => Some((*link, *reason)),
            _ => None,
        })
        .collect();
    assert_eq!(dropped, [(hung, DropReason::Silent)]);
}

#[test]
fn any_sign_of_life_keeps_a_link() {
    let mut story = Story::of(ME, 1);
    story.feed(&connected(7, 1, 1, false));
    story.pass(Duration::from_mins(5), |_, action| match action {
        TableAction::Ping { link } => Some(TableInput::Heard { link: *link }),
        _ => None,
    });
    assert!(
        story
            .done
            .iter()
            .all(|(_, done)| matches!(done, TableAction::Ping { .. }))
    );
    assert!(
        (100..103).contains(&story.done.len()),
        "{} pings",
        story.done.len()
    );
}

#[test]
fn an_unreachable_address_is_tried_less_and_less_and_then_forgotten() {
    for seed in 0..20 {
        let mut story = Story::of(ME, seed);
        story.feed(&candidate(1));
        story.feed(&TableInput::DialFailed {
            addr: addr(1),
            reason: WhyGone::Unreachable,
        });
        story.pass(Duration::from_mins(30), nobody_answers);
        let times: Vec<Duration> = story.done.iter().map(|(at, _)| *at).collect();
        let pauses: Vec<Duration> = times
            .windows(2)
            .map(|pair| pair[1].abs_diff(pair[0]))
            .collect();
        assert_eq!(times.len(), 8, "seed {seed}: {pauses:?}");
        for (nth, pause) in pauses.iter().enumerate() {
            let longest = Duration::from_secs((1 << nth).min(60));
            let range = longest.mul_f64(0.75)..=longest;
            assert!(range.contains(pause), "seed {seed}, pause {nth}: {pause:?}");
        }
        assert_eq!(story.table.whereabouts(story.now, addr(1)), None);
        assert_eq!(story.table.next_deadline(), None);
    }
}

#[test]
fn an_address_that_the_operator_named_is_tried_for_ever() {
    let mut story = Story::of(ME, 3);
    story.feed(&manual(1));
    story.feed(&TableInput::DialFailed {
        addr: addr(1),
        reason: WhyGone::Unreachable,
    });
    story.feed(&TableInput::Withdrawn { addr: addr(1) });
    story.pass(Duration::from_hours(1), nobody_answers);
    assert!(
        (900..1250).contains(&story.done.len()),
        "{} dials in an hour",
        story.done.len()
    );
}

#[test]
fn another_party_is_left_alone_for_ten_minutes() {
    for reason in [WhyGone::WrongParty, WhyGone::Incompatible, WhyGone::Myself] {
        let mut story = Story::of(ME, 3);
        story.feed(&candidate(1));
        story.feed(&TableInput::DialFailed {
            addr: addr(1),
            reason,
        });
        story.feed(&candidate(1));
        assert_eq!(story.done.len(), 1, "{reason}");
        story.pass(Duration::from_mins(10), |_, _| None);
        assert_eq!(story.done[1].0, Duration::from_mins(10), "{reason}");
    }
}

#[test]
fn a_dial_that_is_never_answered_is_over_some_time() {
    let mut story = Story::of(ME, 3);
    story.feed(&candidate(1));
    story.pass(limits::HANDSHAKE_TIMEOUT * 2, |_, _| None);
    assert!(matches!(
        story.table.whereabouts(story.now, addr(1)),
        Some(Whereabouts::BackingOff { until }) if until > story.now
    ));
}

#[test]
fn when_both_dial_both_keep_the_same_connection() {
    assert!(keeps(peer(1), peer(2)) && !keeps(peer(2), peer(1)));
    for smaller_first in [true, false] {
        // Link 1 was opened by the smaller id, link 2 by the larger.
        let links = if smaller_first { [1, 2] } else { [2, 1] };
        for (me, other) in [(1, 2), (2, 1)] {
            let mut story = Story::of(me, 0);
            for link in links {
                let dialled = (link == 1) == (me == 1);
                story.feed(&connected(link, other, 9, dialled));
            }
            let drops: Vec<_> = story
                .done
                .iter()
                .filter(|(_, done)| matches!(done, TableAction::Drop { .. }))
                .map(|(_, done)| done.clone())
                .collect();
            let reason = DropReason::Duplicate;
            assert_eq!(
                drops,
                [TableAction::Drop {
                    link: LinkId(2),
                    peer: peer(other),
                    reason
                }]
            );
            assert_eq!(story.table.peers().count(), 1);
        }
    }
}

#[test]
fn a_peer_that_began_anew_replaces_its_old_connection() {
    let mut story = Story::of(ME, 0);
    story.feed(&connected(1, 5, 9, false));
    let actions = story.feed(&connected(2, 5, 10, false));
    let reason = DropReason::Duplicate;
    assert_eq!(
        actions[0],
        TableAction::Drop {
            link: LinkId(1),
            peer: peer(5),
            reason
        }
    );
    assert_eq!(story.table.peers().count(), 1);
}

#[test]
fn a_linked_peer_is_not_dialled_at_its_other_addresses_nor_are_we() {
    let mut story = Story::of(ME, 0);
    story.feed(&connected(1, 5, 9, false));
    for who in [5, ME] {
        let peer = Some(peer(who));
        let other = TableInput::Candidate {
            addr: addr(10),
            peer,
            manual: false,
        };
        assert!(
            !story
                .feed(&other)
                .iter()
                .any(|done| matches!(done, TableAction::Dial { .. }))
        );
    }
    let reason = DropReason::Myself;
    let drop = TableAction::Drop {
        link: LinkId(2),
        peer: peer(ME),
        reason,
    };
    assert!(story.feed(&connected(2, ME, 11, true)).contains(&drop));
}

#[test]
fn the_expected_peer_is_named_until_another_answers() {
    let mut story = Story::of(ME, 0);
    let said = TableInput::Candidate {
        addr: addr(1),
        peer: Some(peer(5)),
        manual: false,
    };
    let expected = Some(peer(5));
    assert_eq!(
        story.feed(&said),
        [TableAction::Dial {
            addr: addr(1),
            expected
        }]
    );
    story.feed(&TableInput::DialFailed {
        addr: addr(1),
        reason: WhyGone::WrongPeer,
    });
    story.pass(Duration::from_secs(1), |_, _| None);
    assert_eq!(story.done.last().unwrap().1, dial(1));
}

#[test]
fn false_addresses_neither_fill_the_table_nor_hold_up_the_true_one() {
    for seed in 0..2 {
        let mut story = Story::of(ME, seed);
        story.feed(&manual(60_000));
        (0..300).for_each(|number| _ = story.feed(&candidate(number)));
        story.feed(&candidate(50_000));
        story.pass(Duration::from_secs(9), |_, _| None);
        let found = story.done.iter().find(|(_, done)| *done == dial(50_000));
        assert!(
            found.is_some_and(|(at, _)| *at < Duration::from_secs(4)),
            "seed {seed}: {found:?}"
        );
        let first_second = story
            .done
            .iter()
            .filter(|(at, _)| *at < Duration::from_secs(1));
        assert!(first_second.count() <= 100, "seed {seed}");

        (1_000..6_000).for_each(|number| _ = story.feed(&candidate(number)));
        let known = (0..6_000)
            .chain([50_000, 60_000])
            .filter(|number| story.table.whereabouts(story.now, addr(*number)).is_some())
            .count();
        assert_eq!(known, limits::PEERS_MAX, "seed {seed}");
        assert!(
            story.table.whereabouts(story.now, addr(60_000)).is_some(),
            "seed {seed}"
        );
    }
}

#[test]
fn one_peer_more_than_the_limit_is_refused() {
    let mut story = Story::of(ME, 0);
    for number in 0..=limits::PEERS_MAX {
        let mut id = [9; 32];
        id[..2].copy_from_slice(&u16::try_from(number).unwrap().to_be_bytes());
        let peer = PeerId::new(Hash::from_bytes(id));
        let link = LinkId(number as u64);
        let input = TableInput::Connected {
            link,
            peer,
            addr: None,
            dialled: false,
        };
        let full = TableAction::Drop {
            link,
            peer,
            reason: DropReason::Full,
        };
        assert_eq!(
            story.feed(&input).contains(&full),
            number == limits::PEERS_MAX,
            "{number}"
        );
    }
}
