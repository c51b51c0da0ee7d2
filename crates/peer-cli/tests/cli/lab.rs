//! Real processes of the real binary, each with folders of its own.
#![expect(
    clippy::disallowed_methods,
    reason = "a test looks at the disk from outside"
)]

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// Whatever a test waits for comes within this, or the test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A program that is run to its end is there within this; the longest story waits for a stall.
const RUN_DEADLINE: Duration = Duration::from_secs(100);

/// The folders of one test.
pub(crate) struct Lab {
    dir: TempDir,
}

/// The folders of one peer.
pub(crate) struct Place {
    dir: PathBuf,
    home: PathBuf,
}

/// How a process that has ended went.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn peer(&self, name: &str) -> Place {
        let place = Place {
            dir: self.dir.path().join(name),
            home: self.dir.path().join("home"),
        };
        fs::create_dir_all(place.games()).unwrap();
        place
    }
}

impl Place {
    pub(crate) fn games(&self) -> PathBuf {
        self.dir.join("games")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.dir.join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Puts a game here whose files are as large as this.
    pub(crate) fn has(&self, game: &str, files: &[(&str, usize)]) {
        let root = self.games().join(game);
        for (path, bytes) in files {
            let whole = root.join(path);
            fs::create_dir_all(whole.parent().unwrap()).unwrap();
            let content: Vec<u8> = (0..*bytes)
                .map(|at| (at * at / 7 + at % 251).to_le_bytes()[0])
                .collect();
            fs::write(whole, content).unwrap();
        }
        fs::write(root.join("version.ini"), "1.0\n").unwrap();
    }

    /// Puts a game here that is an archive of these files; returns what it installs.
    pub(crate) fn has_archive(
        &self,
        game: &str,
        version: &str,
        files: &[(&str, usize)],
    ) -> BTreeMap<PathBuf, Vec<u8>> {
        let root = self.games().join(game);
        fs::create_dir_all(&root).unwrap();
        let mut builder = tar::Builder::new(fs::File::create(root.join("setup.eti")).unwrap());
        let mut installed = BTreeMap::new();
        for (path, bytes) in files {
            let content = format!("{version} {path}\n").into_bytes();
            let content: Vec<u8> = content.into_iter().cycle().take(*bytes).collect();
            let mut header = tar::Header::new_gnu();
            header.set_size(*bytes as u64);
            header.set_mode(0o644);
            builder
                .append_data(&mut header, path, &content[..])
                .unwrap();
            installed.insert(PathBuf::from(path), content);
        }
        builder.finish().unwrap();
        fs::write(root.join("version.ini"), format!("{version}\n")).unwrap();
        installed
    }

    /// The files of a game here, with their content.
    pub(crate) fn tree(&self, game: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let root = self.games().join(game);
        let mut files = BTreeMap::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let content = fs::read(&path).unwrap();
                    files.insert(path.strip_prefix(&root).unwrap().to_owned(), content);
                }
            }
        }
        files
    }

    /// The binary with this peer's folders, deaf to everything but what it is told.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.bare_command();
        command
            .arg("--game-dir")
            .arg(self.games())
            .arg("--state-dir")
            .arg(self.state());
        command
            .args(["--listen", "127.0.0.1:0", "--no-mdns", "--reserve", "0"])
            .args(arguments);
        command
    }

    /// The binary without any options, and without any of the user who runs the tests.
    pub(crate) fn bare_command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lanspread"));
        command.env_clear().env("HOME", &self.home);
        for kept in ["PATH", "SystemRoot", "TMPDIR", "LLVM_PROFILE_FILE"] {
            if let Some(value) = std::env::var_os(kept) {
                command.env(kept, value);
            }
        }
        command
    }

    /// Runs the binary to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        run(&mut self.command(arguments))
    }

    /// Runs a shell on these lines to its end.
    pub(crate) fn script(&self, arguments: &[&str], lines: &str) -> Ended {
        let mut shell = self.shell(arguments);
        shell.type_raw(lines.as_bytes());
        shell.end_of_input();
        shell.ended()
    }

    /// Starts a shell that speaks JSON.
    pub(crate) fn shell(&self, arguments: &[&str]) -> Shell {
        Shell::start(self.command(arguments).args(["--json", "shell"]))
    }

    /// Starts a peer that serves.
    pub(crate) fn serve(&self, arguments: &[&str]) -> Shell {
        Shell::start(self.command(arguments).args(["--json", "serve"]))
    }
}

/// Runs a program to its end.
pub(crate) fn run(command: &mut Command) -> Ended {
    let mut process = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let read = |mut from: Box<dyn Read + Send>| {
        thread::spawn(move || std::io::read_to_string(&mut from).unwrap())
    };
    let stdout = read(Box::new(process.stdout.take().unwrap()));
    let stderr = read(Box::new(process.stderr.take().unwrap()));
    let deadline = Instant::now() + RUN_DEADLINE;
    let status = loop {
        match process.try_wait().unwrap() {
            Some(status) => break Some(status),
            None if Instant::now() > deadline => break None,
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    if status.is_none() {
        process.kill().unwrap();
    }
    let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
    let status = status
        .unwrap_or_else(|| panic!("{command:?} does not end\nstdout: {stdout}\nstderr: {stderr}"));
    Ended {
        code: status.code().unwrap_or(-1),
        stdout,
        stderr,
    }
}

impl Ended {
    /// Standard output as JSON lines; every line must be one object.
    pub(crate) fn json(&self) -> Vec<Value> {
        self.stdout.lines().map(parse).collect()
    }

    /// The last event of this name. What else was told, and in which order, nobody promises.
    pub(crate) fn event(&self, name: &str) -> Value {
        let named = |line: &Value| line["event"] == name;
        let told = self.json().into_iter().rfind(named);
        told.unwrap_or_else(|| panic!("{name} is not told: {}", self.stdout))
    }

    pub(crate) fn replies(&self) -> Vec<Value> {
        self.json()
            .into_iter()
            .filter(|line| line["type"] == "reply")
            .collect()
    }

    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "stdout: {}\nstderr: {}",
            self.stdout, self.stderr
        );
        self
    }
}

fn parse(line: &str) -> Value {
    let value: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
    assert!(value.is_object(), "not an object: {line}");
    let kind = value["type"].as_str().unwrap_or_default();
    assert!(["event", "reply"].contains(&kind), "of no kind: {line}");
    value
}

/// A running process that writes JSON lines.
pub(crate) struct Shell {
    process: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    /// Everything that has come, in order.
    pub(crate) seen: Vec<Value>,
    errors: Option<thread::JoinHandle<String>>,
    typed: u64,
}

impl Shell {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (send, lines) = channel();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        let mut stderr = process.stderr.take().unwrap();
        let errors = Some(thread::spawn(move || {
            std::io::read_to_string(&mut stderr).unwrap()
        }));
        let input = process.stdin.take();
        Self {
            process,
            input,
            lines,
            seen: Vec::new(),
            errors,
            typed: 0,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    // # Input

    pub(crate) fn type_raw(&mut self, bytes: &[u8]) {
        let input = self.input.as_mut().unwrap();
        input.write_all(bytes).unwrap();
        input.flush().unwrap();
    }

    /// Types a line and returns its number.
    pub(crate) fn say(&mut self, line: &str) -> u64 {
        self.type_raw(format!("{line}\n").as_bytes());
        self.typed += 1;
        self.typed
    }

    /// Types a line and returns its reply.
    pub(crate) fn ask(&mut self, line: &str) -> Value {
        let number = self.say(line);
        self.until(|seen| seen["type"] == "reply" && seen["line"] == number)
    }

    /// Types a line that must go well and returns its reply's data.
    pub(crate) fn data(&mut self, line: &str) -> Value {
        let mut reply = self.ask(line);
        assert_eq!(reply["ok"], true, "{reply}");
        reply["data"].take()
    }

    /// Types a line that must be refused with this code.
    pub(crate) fn refused(&mut self, line: &str, code: &str) -> String {
        let reply = self.ask(line);
        assert_eq!(reply["ok"], false, "{reply}");
        assert_eq!(reply["error"]["code"], code, "{reply}");
        reply["error"]["message"].as_str().unwrap().to_owned()
    }

    pub(crate) fn end_of_input(&mut self) {
        self.input = None;
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    // # Output

    /// The next event of this name, also one that has been seen already.
    pub(crate) fn event(&mut self, name: &str) -> Value {
        if let Some(seen) = self.seen.iter().find(|seen| seen["event"] == name) {
            return seen.clone();
        }
        self.until(|seen| seen["event"] == name)
    }

    /// Where this peer listens.
    pub(crate) fn address(&mut self) -> String {
        self.event("ready")["listen"].as_str().unwrap().to_owned()
    }

    /// Reads on until there is a line like this.
    pub(crate) fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    let value = parse(&line);
                    self.seen.push(value.clone());
                    if wanted(&value) {
                        return value;
                    }
                }
                Err(error) => {
                    // Its standard error says why.
                    let _ = self.process.kill();
                    let errors = self.errors.take().unwrap().join().unwrap();
                    let kind = match error {
                        RecvTimeoutError::Timeout => "too late",
                        RecvTimeoutError::Disconnected => "ended",
                    };
                    panic!("{kind}; seen: {:#?}\nstderr: {errors}", self.seen);
                }
            }
        }
    }

    // # The end

    /// Waits for the end of the process.
    pub(crate) fn ended(mut self) -> Ended {
        let deadline = Instant::now() + DEADLINE;
        let mut stdout: Vec<_> = self.seen.iter().map(Value::to_string).collect();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => stdout.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end: {}", stdout.join("\n")),
            }
        }
        let code = self.process.wait().unwrap().code().unwrap_or(-1);
        let stderr = self.errors.take().unwrap().join().unwrap();
        Ended {
            code,
            stdout: stdout.join("\n"),
            stderr,
        }
    }

    pub(crate) fn quit(mut self) -> Ended {
        self.say("quit");
        self.ended()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // It has ended already in a test that went well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
