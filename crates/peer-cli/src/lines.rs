//! Bytes cut into lines of bounded length, for standard input and the control socket alike.

use crate::grammar::LINE_BYTES_MAX;

/// One line of input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Its number, from 1.
    pub(crate) number: u64,
    /// Its text, or why it has none.
    pub(crate) text: Result<String, String>,
}

/// Cuts what arrives into lines. A line that is too long is skipped to its end and reported.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    rest: Vec<u8>,
    too_long: bool,
    number: u64,
}

impl Splitter {
    /// The lines that are complete after these bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut pieces = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            if self.rest.len() + piece.len() > LINE_BYTES_MAX {
                self.too_long = true;
                self.rest.clear();
            } else if !self.too_long {
                self.rest.extend_from_slice(piece);
            }
            if pieces.peek().is_some() {
                lines.push(self.cut());
            }
        }
        lines
    }

    /// The last line, if the input does not end with a line break.
    pub(crate) fn finish(&mut self) -> Option<Line> {
        (self.too_long || !self.rest.is_empty()).then(|| self.cut())
    }

    fn cut(&mut self) -> Line {
        self.number += 1;
        let bytes = std::mem::take(&mut self.rest);
        let text = if std::mem::take(&mut self.too_long) {
            Err(format!("the line is longer than {LINE_BYTES_MAX} bytes"))
        } else {
            String::from_utf8(bytes).map_err(|_| "the line is not UTF-8".to_owned())
        };
        let without_mark = |text: String| match text.strip_prefix('\u{feff}') {
            Some(rest) if self.number == 1 => rest.to_owned(),
            _ => text,
        };
        Line {
            number: self.number,
            text: text.map(without_mark),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pieces: &[&[u8]]) -> Vec<Line> {
        let mut splitter = Splitter::default();
        let mut lines: Vec<_> = pieces
            .iter()
            .flat_map(|piece| splitter.push(piece))
            .collect();
        lines.extend(splitter.finish());
        lines
    }

    fn texts(pieces: &[&[u8]]) -> Vec<Result<String, String>> {
        all(pieces).into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn lines_are_cut_wherever_the_bytes_were() {
        let whole = b"\xef\xbb\xbflist\n\npeers\r\nquit";
        let expected = all(&[whole]);
        assert_eq!(expected.len(), 4);
        assert_eq!(
            expected[0],
            Line {
                number: 1,
                text: Ok("list".into())
            }
        );
        assert_eq!(
            expected[3],
            Line {
                number: 4,
                text: Ok("quit".into())
            }
        );
        for cut in 0..whole.len() {
            assert_eq!(
                all(&[&whole[..cut], &whole[cut..]]),
                expected,
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn a_line_of_the_limit_passes_and_a_longer_one_is_refused_alone() {
        let fits = "x".repeat(LINE_BYTES_MAX);
        let too_long = "x".repeat(LINE_BYTES_MAX + 1);
        let text = format!("{fits}\n{too_long}\nlist\n");
        let got = texts(&[text.as_bytes()]);
        assert_eq!(got.len(), 3);
        assert_eq!(got[0].as_ref().map(String::len), Ok(LINE_BYTES_MAX));
        assert!(got[1].as_ref().unwrap_err().contains("16384 bytes"));
        assert_eq!(got[2], Ok("list".into()));
    }

    #[test]
    fn an_endless_line_takes_no_memory() {
        let mut splitter = Splitter::default();
        for _ in 0..1000 {
            assert!(splitter.push(&[b'x'; 4096]).is_empty());
            assert!(splitter.rest.len() <= LINE_BYTES_MAX);
        }
        assert!(splitter.finish().unwrap().text.is_err());
        assert_eq!(splitter.finish(), None);
    }

    #[test]
    fn a_line_that_is_not_text_is_refused_alone() {
        let got = texts(&[b"\xff\nlist\n"]);
        assert!(got[0].as_ref().unwrap_err().contains("UTF-8"));
        assert_eq!(got[1], Ok("list".into()));
    }
}
