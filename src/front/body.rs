//! Request bodies: of a known length, or chunked (RFC 9112, 7.1), which is decoded here so that nobody behind has to.

use super::head::{Framing, LARGEST_BODY};
use super::refusal::Refusal;

/// A chunk's size line, with whatever extensions, and the trailer section.
const LONGEST_LINE: usize = 256;
const LARGEST_TRAILER: usize = 4 * 1024;

/// Collects a body.
#[derive(Debug)]
pub(super) struct BodyReader {
    body: Vec<u8>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many bytes are missing.
    Length(usize),
    /// A size line comes.
    Size,
    /// So many bytes of a chunk are missing.
    Chunk(usize),
    /// The CR LF after a chunk comes.
    ChunkEnd,
    /// Trailer fields come, of which so many bytes went by.
    Trailer(usize),
    Done,
}

impl BodyReader {
    pub(super) fn new(framing: Framing) -> BodyReader {
        let state = match framing {
            Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size,
        };
        BodyReader { body: Vec::new(), state }
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    pub(super) fn len(&self) -> usize {
        self.body.capacity()
    }

    /// The whole body, which has grown with what came and may have to wait.
    pub(super) fn into_body(mut self) -> Vec<u8> {
        self.body.shrink_to_fit();
        self.body
    }

    /// Take what belongs to the body from the beginning of `input`, and say how much that was.
    pub(super) fn take(&mut self, input: &[u8]) -> Result<usize, Refusal> {
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            let step = match self.state {
                State::Done => return Ok(used),
                State::Length(missing) => self.take_bytes(rest, missing, State::Length, State::Done),
                State::Chunk(missing) => self.take_bytes(rest, missing, State::Chunk, State::ChunkEnd),
                State::Size => self.take_size(rest)?,
                State::ChunkEnd => self.take_chunk_end(rest)?,
                State::Trailer(seen) => self.take_trailer(rest, seen)?,
            };
            if step == 0 {
                return Ok(used);
            }
            used = used.saturating_add(step);
        }
    }

    fn take_bytes(&mut self, rest: &[u8], missing: usize, more: fn(usize) -> State, then: State) -> usize {
        let taken = rest.get(..missing.min(rest.len())).unwrap_or_default();
        self.body.extend_from_slice(taken);
        let left = missing.saturating_sub(taken.len());
        self.state = if left == 0 { then } else { more(left) };
        taken.len()
    }

    fn take_size(&mut self, rest: &[u8]) -> Result<usize, Refusal> {
        let Some(line) = line(rest)? else { return Ok(0) };
        let text = std::str::from_utf8(line).map_err(|_| Refusal::Malformed("a chunk's size is not hexadecimal"))?;
        let digits = text.split(';').next().unwrap_or_default();
        let shaped = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let size = usize::from_str_radix(digits, 16).ok().filter(|_| shaped);
        let size = size.ok_or(Refusal::Malformed("a chunk's size is not hexadecimal"))?;
        if size > LARGEST_BODY.saturating_sub(self.body.len()) {
            return Err(Refusal::BodyTooLarge);
        }
        self.state = if size == 0 { State::Trailer(0) } else { State::Chunk(size) };
        Ok(line.len().saturating_add(2))
    }

    fn take_chunk_end(&mut self, rest: &[u8]) -> Result<usize, Refusal> {
        match rest {
            [b'\r', b'\n', ..] => {
                self.state = State::Size;
                Ok(2)
            }
            [] | [b'\r'] => Ok(0),
            _ => Err(Refusal::Malformed("a chunk is longer than its size says")),
        }
    }

    fn take_trailer(&mut self, rest: &[u8], seen: usize) -> Result<usize, Refusal> {
        let Some(line) = line(rest)? else { return Ok(0) };
        let length = line.len().saturating_add(2);
        let seen = seen.saturating_add(length);
        if seen > LARGEST_TRAILER {
            return Err(Refusal::HeadTooLarge);
        }
        self.state = if line.is_empty() { State::Done } else { State::Trailer(seen) };
        Ok(length)
    }
}

/// The first line, without its CR LF, once it is whole.
fn line(input: &[u8]) -> Result<Option<&[u8]>, Refusal> {
    let searched = input.get(..LONGEST_LINE.min(input.len())).unwrap_or(input);
    match searched.iter().position(|&b| b == b'\n') {
        Some(end) => match searched.get(..end).and_then(|line| line.strip_suffix(b"\r")) {
            Some(line) if !line.contains(&b'\r') => Ok(Some(line)),
            _ => Err(Refusal::Malformed("lines end with CR LF")),
        },
        None if input.len() >= LONGEST_LINE => Err(Refusal::Malformed("a line of the body's framing is too long")),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feed the bytes one by one, as the slowest client would.
    fn read(framing: Framing, input: &[u8]) -> Result<(Option<Vec<u8>>, usize), Refusal> {
        let mut reader = BodyReader::new(framing);
        let (mut waiting, mut total) = (Vec::new(), 0);
        for byte in input {
            if reader.is_done() {
                break;
            }
            waiting.push(*byte);
            let used = reader.take(&waiting)?;
            waiting.drain(..used);
            total += used;
        }
        Ok((reader.is_done().then(|| reader.into_body()), total))
    }

    #[test]
    fn bodies_end_where_they_say() {
        assert_eq!(read(Framing::Length(3), b"abcGET"), Ok((Some(b"abc".to_vec()), 3)));
        assert_eq!(read(Framing::Length(3), b"ab"), Ok((None, 2)));
        let chunked = b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";
        let (body, used) = read(Framing::Chunked, &[&chunked[..], b"GET"].concat()).unwrap();
        assert_eq!((body, used), (Some(b"abc0123456789".to_vec()), chunked.len()));
    }

    #[test]
    fn odd_chunks_are_refused() {
        for input in [
            &b"-1\r\n"[..],
            b"\r\n",
            b"g\r\n",
            b"1\n",
            b"+1\r\n",
            b"1 \r\na\r\n",
            b"000000001\r\n",
            b"1\r\nab\r\n",
            b"1\r\na\n",
            b"1\rx\r\n",
            &[b'1'; 300],
        ] {
            assert!(read(Framing::Chunked, input).is_err(), "{}", String::from_utf8_lossy(input));
        }
        assert_eq!(read(Framing::Chunked, b"FFFFFFFF\r\n"), Err(Refusal::BodyTooLarge));
        let many = b"0\r\n".iter().copied().chain(b"X: y\r\n".repeat(1000)).collect::<Vec<_>>();
        assert_eq!(read(Framing::Chunked, &many), Err(Refusal::HeadTooLarge));
    }
}
