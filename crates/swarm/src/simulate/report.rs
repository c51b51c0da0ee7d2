//! What a simulation found.

use std::time::Duration;

use super::units;

/// What crossed the link between one switch and the core, in copies of the payload.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Joint {
    /// Towards the switch.
    pub inward: f64,
    /// Away from it.
    pub outward: f64,
}

/// What a simulation found.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// The least time in which anybody can have everything.
    pub floor: Duration,
    /// How long each receiver took since its own start, shortest first; slow ones are left out.
    pub took: Vec<Duration>,
    /// Receivers that should have finished and did not.
    pub unfinished: usize,
    /// How often the source sent each byte, on average.
    pub source_copies: f64,
    /// Bytes of whole chunks that were sent, by all hosts together.
    pub sent_bytes: u64,
    /// Bytes of them that a receiver did not have yet.
    pub needed_bytes: u64,
    /// Bytes of them that a receiver had already.
    pub twice_bytes: u64,
    /// Bytes of them that were wrong.
    pub wrong_bytes: u64,
    /// The most neighbours that a host had at once: the mean over all hosts, and the greatest.
    pub connections: (f64, usize),
    /// What crossed each joint, if there is more than one switch.
    pub joints: Vec<Joint>,
    /// Requests for runs, of all receivers.
    pub requests: u64,
    /// By time: the part of all bytes that had arrived, and the part of the receivers that had finished.
    pub curve: Vec<(Duration, f64, f64)>,
    /// Events that were simulated.
    pub events: u64,
    /// A fingerprint of everything that happened, in order.
    pub trace: u64,
}

impl Report {
    /// The time of the last receiver.
    pub fn last(&self) -> Duration {
        self.took.last().copied().unwrap_or_default()
    }

    /// The time by which this part of the receivers, 0 to 1, had finished.
    pub fn quantile(&self, part: f64) -> Duration {
        let nth = units::whole((units::count(self.took.len()) * part).ceil());
        let at = usize::try_from(nth).unwrap_or(usize::MAX).saturating_sub(1);
        self.took.get(at).copied().unwrap_or_default()
    }

    /// The floor over the time of the last receiver; 0 if one did not finish.
    pub fn efficiency(&self) -> f64 {
        let last = self.last().as_secs_f64();
        if self.unfinished > 0 || last <= 0.0 {
            return 0.0;
        }
        self.floor.as_secs_f64() / last
    }

    /// The time of the last receiver in floors.
    pub fn floors(&self) -> f64 {
        self.last().as_secs_f64() / self.floor.as_secs_f64()
    }

    /// The part of what was sent that was not needed, 0 to 1.
    pub fn waste(&self) -> f64 {
        let needless = units::fraction(self.twice_bytes + self.wrong_bytes);
        needless / units::fraction(self.sent_bytes.max(1))
    }

    /// What the same room with so many times the payload in as many chunks comes to at the most, if every round trip and
    /// every pause took that much longer, too: all times and bytes are so many times as much.
    #[must_use]
    pub fn stretched(self, times: u32) -> Self {
        let bytes = u64::from(times);
        let curve = self.curve.into_iter();
        Self {
            floor: self.floor * times,
            took: self.took.into_iter().map(|took| took * times).collect(),
            sent_bytes: self.sent_bytes * bytes,
            needed_bytes: self.needed_bytes * bytes,
            twice_bytes: self.twice_bytes * bytes,
            wrong_bytes: self.wrong_bytes * bytes,
            curve: curve
                .map(|(at, stored, finished)| (at * times, stored, finished))
                .collect(),
            ..self
        }
    }

    /// The completion curve as a drawing: bytes that arrived in grey, receivers that finished in blue, the
    /// floor as a dashed line.
    pub fn svg(&self, title: &str) -> String {
        const WIDTH: f64 = 720.0;
        const HEIGHT: f64 = 360.0;
        const EDGE: f64 = 48.0;
        let end = self.curve.last().map_or(1.0, |(at, ..)| at.as_secs_f64());
        let x = |seconds: f64| EDGE + seconds / end * (WIDTH - 2.0 * EDGE);
        let y = |part: f64| HEIGHT - EDGE - part * (HEIGHT - 2.0 * EDGE);
        let line = |color: &str, pick: fn(&(Duration, f64, f64)) -> f64| {
            let points: Vec<String> = self
                .curve
                .iter()
                .map(|sample| format!("{:.1},{:.1}", x(sample.0.as_secs_f64()), y(pick(sample))))
                .collect();
            format!(
                "<polyline fill=\"none\" stroke=\"{color}\" stroke-width=\"2\" points=\"{}\"/>\n",
                points.join(" ")
            )
        };
        let (floor, bottom) = (x(self.floor.as_secs_f64()), y(0.0));
        let text = |x: f64, y: f64, words: &str| {
            format!(
                "<text x=\"{x:.1}\" y=\"{y:.1}\" font-family=\"sans-serif\" font-size=\"12\">{words}</text>\n"
            )
        };
        [
            format!("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\">\n"),
            "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n".to_owned(),
            format!("<path d=\"M{EDGE} {EDGE}V{bottom}H{:.1}\" fill=\"none\" stroke=\"black\"/>\n", x(end)),
            format!("<path d=\"M{floor:.1} {EDGE}V{bottom}\" stroke=\"black\" stroke-dasharray=\"4\"/>\n"),
            line("grey", |sample| sample.1),
            line("royalblue", |sample| sample.2),
            text(EDGE, 24.0, &title.replace('&', "&amp;").replace('<', "&lt;")),
            text(4.0, y(1.0) + 4.0, "100 %"),
            text(16.0, bottom, "0 %"),
            text(x(end) - 24.0, bottom + 18.0, &format!("{end:.0} s")),
            text(floor - 40.0, bottom + 34.0, &format!("floor {:.1} s", self.floor.as_secs_f64())),
            "</svg>\n".to_owned(),
        ]
        .concat()
    }
}
