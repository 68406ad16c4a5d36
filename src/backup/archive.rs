//! The archive: a tar file (POSIX ustar), so that an operator can look into it with the tools of any system. Its members are
//! plain files; the last one is the SHA-256 of everything before it, so that what was cut off or altered is told from what is
//! whole before anything of it is used.

use crate::error::{Error, Result};
use crate::keys::hex;
use ring::digest::{Context, SHA256};
use std::io::{Read, Write};

const BLOCK: usize = 512;
/// Two empty blocks end an archive.
const END: usize = 2 * BLOCK;
const CHECK: &str = "SHA256";
/// 64 digits and a line feed.
const CHECK_LENGTH: u64 = 65;
/// Larger sizes than eleven octal digits can say are written as GNU tar writes them.
const MOST_OCTAL: u64 = 0o777_7777_7777;

/// How many bytes an archive has whose members have these lengths.
pub(super) fn length(members: impl Iterator<Item = u64>) -> u64 {
    let members: u64 = members.chain([CHECK_LENGTH]).map(|m| (BLOCK as u64).saturating_add(padded(m))).sum();
    members.saturating_add(END as u64)
}

/// An archive that is being written.
pub(super) struct ArchiveWriter<W> {
    to: W,
    hash: Context,
}

impl<W: Write> ArchiveWriter<W> {
    pub(super) fn new(to: W) -> ArchiveWriter<W> {
        ArchiveWriter { to, hash: Context::new(&SHA256) }
    }

    /// Append a member, which has exactly so many bytes.
    pub(super) fn append(
        &mut self,
        name: &str,
        modified: i64,
        length: u64,
        from: &mut dyn Read,
    ) -> std::io::Result<()> {
        self.write(&header(name, modified, length)?)?;
        let mut left = length;
        let mut buffer = vec![0; 64 * 1024];
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let count = from.read(buffer.get_mut(..most).unwrap_or_default())?;
            if count == 0 {
                return Err(std::io::Error::other(format!("{name} is shorter than it was")));
            }
            self.write(buffer.get(..count).unwrap_or_default())?;
            left = left.saturating_sub(count as u64);
        }
        self.write(padding(length))
    }

    /// Write the check, and the end.
    pub(super) fn finish(mut self, modified: i64) -> std::io::Result<()> {
        let check = format!("{}\n", hex(self.hash.clone().finish().as_ref()));
        self.append(CHECK, modified, CHECK_LENGTH, &mut check.as_bytes())?;
        self.write(&[0; END])?;
        self.to.flush()
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.hash.update(bytes);
        self.to.write_all(bytes)
    }
}

/// Hand each member to `take`, which may read it or leave it. What was taken is to be used only when this has succeeded.
///
/// # Errors
/// Malformed when it is no such archive, was cut off or altered; those of `take`.
pub(super) fn read(mut from: impl Read, mut take: impl FnMut(&str, u64, &mut dyn Read) -> Result<()>) -> Result<()> {
    let mut hash = Context::new(&SHA256);
    loop {
        let mut block = [0; BLOCK];
        from.read_exact(&mut block).map_err(|_| cut_off())?;
        let (name, length) = parse_header(&block)?;
        if name == CHECK {
            return check_end(from, length, hash);
        }
        hash.update(&block);
        let mut member = Member { from: &mut from, hash: &mut hash, left: length };
        take(&name, length, &mut member)?;
        std::io::copy(&mut member, &mut std::io::sink()).map_err(|_| cut_off())?;
        if member.left > 0 {
            return Err(cut_off());
        }
        let mut rest = vec![0; padding(length).len()];
        from.read_exact(&mut rest).map_err(|_| cut_off())?;
        hash.update(&rest);
    }
}

/// The check must be right, and nothing may follow.
fn check_end(mut from: impl Read, length: u64, hash: Context) -> Result<()> {
    let mut check = vec![0; usize::try_from(padded(CHECK_LENGTH)).unwrap_or_default()];
    from.read_exact(&mut check).map_err(|_| cut_off())?;
    let wanted = format!("{}\n", hex(hash.finish().as_ref()));
    let (said, rest) = check.split_at_checked(wanted.len()).ok_or_else(altered)?;
    let mut end = Vec::new();
    from.take(END.saturating_add(1) as u64).read_to_end(&mut end).map_err(|_| cut_off())?;
    if end.len() < END {
        return Err(cut_off());
    }
    let is_empty = rest.iter().chain(&end).all(|byte| *byte == 0) && end.len() == END;
    if length != CHECK_LENGTH || said != wanted.as_bytes() || !is_empty { Err(altered()) } else { Ok(()) }
}

/// The bytes of one member, counted and hashed as they are read.
struct Member<'a, R> {
    from: &'a mut R,
    hash: &'a mut Context,
    left: u64,
}

impl<R: Read> Read for Member<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.from.read(buffer.get_mut(..most).unwrap_or_default())?;
        self.hash.update(buffer.get(..count).unwrap_or_default());
        self.left = self.left.saturating_sub(count as u64);
        Ok(count)
    }
}

/// A header block (POSIX.1-2017, pax, "ustar Interchange Format").
fn header(name: &str, modified: i64, length: u64) -> std::io::Result<[u8; BLOCK]> {
    if name.len() > 100 {
        return Err(std::io::Error::other(format!("the name {name} is too long for an archive")));
    }
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| {
        block.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = *from);
    };
    put(0, name.as_bytes());
    put(100, b"0000600\x000000000\x000000000\0");
    match length {
        0..=MOST_OCTAL => put(124, format!("{length:011o}\0").as_bytes()),
        _ => {
            put(124, &[0x80, 0, 0, 0]);
            put(128, &length.to_be_bytes());
        }
    }
    put(136, format!("{:011o}\0", modified.max(0)).as_bytes());
    // The sum is taken with blanks in its own place.
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum = checksum(&block);
    block.iter_mut().skip(148).zip(format!("{sum:06o}\0 ").as_bytes()).for_each(|(to, from)| *to = *from);
    Ok(block)
}

/// A member's name and length. A header that is not to the bit what we would write is none.
fn parse_header(block: &[u8; BLOCK]) -> Result<(String, u64)> {
    let field = |at: usize, length: usize| block.get(at..at.saturating_add(length)).unwrap_or_default();
    let text = |bytes: &[u8]| {
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
    };
    if field(257, 6) != b"ustar\0" {
        return Err(Error::malformed("it is no backup of certwright"));
    }
    let name = text(field(0, 100));
    let modified = i64::from_str_radix(&text(field(136, 12)), 8).map_err(|_| altered())?;
    let length = match field(124, 12) {
        [0x80, 0, 0, 0, rest @ ..] => rest.try_into().ok().map(u64::from_be_bytes),
        digits => u64::from_str_radix(&text(digits), 8).ok(),
    };
    let length = length.ok_or_else(altered)?;
    let is_ours = header(&name, modified, length).is_ok_and(|ours| ours == *block);
    if is_ours { Ok((name, length)) } else { Err(altered()) }
}

fn checksum(block: &[u8; BLOCK]) -> u64 {
    block.iter().map(|byte| u64::from(*byte)).sum()
}

fn padded(length: u64) -> u64 {
    length.saturating_add(padding(length).len() as u64)
}

fn padding(length: u64) -> &'static [u8] {
    const ZEROS: [u8; BLOCK] = [0; BLOCK];
    let over = usize::try_from(length.checked_rem(BLOCK as u64).unwrap_or_default()).unwrap_or_default();
    if over == 0 { &[] } else { ZEROS.get(over..).unwrap_or_default() }
}

fn cut_off() -> Error {
    Error::malformed("the backup ends too early: it was cut off, or is still being written; use another one")
}

fn altered() -> Error {
    Error::malformed("the backup was altered: its SHA-256 is not that of its content; use another one")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBERS: [(&str, &[u8]); 4] =
        [("one", b"first"), ("two", b""), ("a/three", &[7; 512]), ("four", &[b'x'; 1_500])];

    fn packed() -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut archive = ArchiveWriter::new(&mut bytes);
        for (name, mut content) in MEMBERS {
            archive.append(name, 1_700_000_000, content.len() as u64, &mut content).unwrap();
        }
        archive.finish(1_700_000_000).unwrap();
        bytes
    }

    fn unpacked(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>> {
        let mut members = Vec::new();
        read(bytes, |name, _, from| {
            let mut content = Vec::new();
            from.read_to_end(&mut content).unwrap();
            members.push((name.to_owned(), content));
            Ok(())
        })?;
        Ok(members)
    }

    #[test]
    fn what_was_packed_is_unpacked_and_tar_agrees() {
        let bytes = packed();
        assert_eq!(bytes.len() as u64, length(MEMBERS.iter().map(|(_, content)| content.len() as u64)));
        let found = unpacked(&bytes).unwrap();
        assert!(found.iter().map(|(n, c)| (n.as_str(), c.as_slice())).eq(MEMBERS), "{found:?}");
        read(bytes.as_slice(), |_, _, _| Ok(())).unwrap();

        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("x.tar"), &bytes).unwrap();
        let tar = std::process::Command::new("tar").args(["-xf", "x.tar"]).current_dir(dir.path()).output().unwrap();
        assert!(tar.status.success() && tar.stderr.is_empty(), "{tar:?}");
        for (name, content) in MEMBERS {
            assert_eq!(std::fs::read(dir.path().join(name)).unwrap(), content, "{name}");
        }
    }

    #[test]
    fn what_was_cut_off_or_altered_anywhere_is_refused() {
        let bytes = packed();
        for end in 0..bytes.len() {
            assert!(unpacked(&bytes[..end]).is_err(), "cut off at {end}");
        }
        for at in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[at] ^= 1;
            assert!(unpacked(&altered).is_err(), "altered at {at}");
        }
        assert!(unpacked(&[bytes.as_slice(), b"x"].concat()).is_err(), "something follows");
    }

    #[test]
    fn a_member_of_any_size_has_its_header() {
        for size in [0, 1, MOST_OCTAL, MOST_OCTAL + 1, u64::MAX / 2] {
            assert_eq!(parse_header(&header("n", 0, size).unwrap()).unwrap(), ("n".to_owned(), size));
        }
    }
}
