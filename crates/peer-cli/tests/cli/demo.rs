//! The demo, at a size that suits a test.

use crate::lab::{Lab, run};

#[test]
fn the_demo_passes_its_own_checks() {
    let lab = Lab::new();
    let place = lab.peer("demo");
    let demo = run(place.bare_command().args(["demo", "--size", "24MB"])).expect(0);
    for told in [
        "They found each other",
        "kill -9",
        "are byte for byte what was made",
        "from bob",
        "version 1.0 is installed",
        "version 2.0 is installed in the place of 1.0",
        "The update fetched",
        "dave's disk never held the archive",
    ] {
        assert!(demo.stdout.contains(told), "{told}: {}", demo.stdout);
    }
}

#[test]
fn the_demo_has_no_json() {
    let lab = Lab::new();
    let demo = run(lab.peer("demo").bare_command().args(["demo", "--json"])).expect(2);
    assert_eq!(demo.stdout, "");
    assert!(demo.stderr.contains("--json"), "{}", demo.stderr);
}
