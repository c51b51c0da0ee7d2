//! Wrong command lines, files and environments: exit code 2 and a sentence that names the thing.

use crate::lab::{Lab, run};

#[test]
fn wrong_command_lines_are_refused() {
    let lab = Lab::new();
    let peer = lab.peer("a");
    for (arguments, names) in [
        (vec!["frobnicate"], "frobnicate"),
        (vec!["--frobnicate"], "--frobnicate"),
        (vec!["install"], "<ID>"),
        (vec!["download"], "<ID>"),
        (vec!["download", "../x"], "../x"),
        (vec!["verify", "CON"], "CON"),
        (vec!["--peer", "nobody", "list"], "nobody"),
        (vec!["--upload-limit", "fast", "list"], "fast"),
        (vec!["--give-up", "soon", "list"], "soon"),
        (vec!["--config", "/nowhere.toml", "list"], "/nowhere.toml"),
    ] {
        let refused = peer.run(&arguments).expect(2);
        assert!(
            refused.stderr.contains(names),
            "{arguments:?}: {}",
            refused.stderr
        );
        assert_eq!(refused.stdout, "", "{arguments:?}");
    }
}

#[test]
fn help_and_version_go_well() {
    let lab = Lab::new();
    let peer = lab.peer("a");
    for (argument, told) in [("--help", "--give-up"), ("--version", "lanspread 0.")] {
        let shown = run(peer.bare_command().arg(argument)).expect(0);
        assert!(shown.stdout.contains(told), "{}", shown.stdout);
    }
    let shown = run(peer.bare_command().args(["completions", "bash"]));
    assert!(shown.expect(0).stdout.contains("complete -F _lanspread"));
}

#[test]
fn a_wrong_file_is_named_with_its_line() {
    let lab = Lab::new();
    let peer = lab.peer("a");
    let config = peer.file("config.toml", "name = \"x\"\nupload-limits = 5\n");
    let refused = peer
        .run(&["--config", config.to_str().unwrap(), "list"])
        .expect(2);
    for named in ["config.toml", "line 2", "upload-limits"] {
        assert!(
            refused.stderr.contains(named),
            "{named}: {}",
            refused.stderr
        );
    }
    let catalog = peer.file("catalog.json", "{\"games\":[\n{\"id\": 5}]}");
    let refused = peer
        .run(&["--catalog", catalog.to_str().unwrap(), "list"])
        .expect(2);
    for named in ["catalog.json", "line 2", "column"] {
        assert!(
            refused.stderr.contains(named),
            "{named}: {}",
            refused.stderr
        );
    }
}

#[test]
fn the_environment_stands_between_command_line_and_file() {
    let lab = Lab::new();
    let peer = lab.peer("a");
    let name_of = |arguments: &[&str], variable: Option<&str>| {
        let config = peer.file("config.toml", "name = \"from-file\"\njson = true\n");
        let mut command = peer.command(arguments);
        command.arg("--config").arg(config).arg("status");
        if let Some(name) = variable {
            command.env("LANSPREAD_NAME", name);
        }
        run(&mut command).expect(0).json()[0]["name"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(name_of(&[], None), "from-file");
    assert_eq!(name_of(&[], Some("from-environment")), "from-environment");
    assert_eq!(
        name_of(&["--name", "from-line"], Some("from-environment")),
        "from-line"
    );
}

#[test]
fn a_wrong_log_filter_is_named() {
    let lab = Lab::new();
    let mut command = lab.peer("a").command(&["list"]);
    let refused = run(command.env("LANSPREAD_LOG", "lanspread=loud")).expect(2);
    assert!(
        refused.stderr.contains("LANSPREAD_LOG"),
        "{}",
        refused.stderr
    );
}
