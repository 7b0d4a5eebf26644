//! Removes from a component what only debuggers read: its custom sections, at every depth.
//!
//! A binary is a preamble of eight bytes and sections, each an id, a size and that many bytes. Two kinds of section hold
//! binaries again: a component's core modules and nested components.

/// The bytes before the first section.
const PREAMBLE: usize = 8;
/// What a component's preamble ends with, where a core module's has zeros.
const COMPONENT_LAYER: [u8; 2] = [1, 0];
const CUSTOM: u8 = 0;
const CORE_MODULE: u8 = 1;
const COMPONENT: u8 = 4;
/// Deeper than anything that a compiler writes.
const MAX_DEPTH: usize = 16;

/// The binary without its custom sections; `None` if it is no sequence of sections at all.
pub(super) fn strip(binary: &[u8]) -> Option<Vec<u8>> {
    strip_at(binary, MAX_DEPTH)
}

fn strip_at(binary: &[u8], depth: usize) -> Option<Vec<u8>> {
    let (preamble, mut rest) = binary.split_at_checked(PREAMBLE)?;
    let is_component = preamble.ends_with(&COMPONENT_LAYER);
    let mut stripped = preamble.to_vec();
    while let Some((&id, after_id)) = rest.split_first() {
        let (size, after_size) = read_size(after_id)?;
        let (content, after) = after_size.split_at_checked(size)?;
        rest = after;
        if id == CUSTOM {
            continue;
        }
        stripped.push(id);
        if is_component && matches!(id, CORE_MODULE | COMPONENT) {
            let inner = strip_at(content, depth.checked_sub(1)?)?;
            write_size(inner.len(), &mut stripped);
            stripped.extend(inner);
        } else {
            write_size(content.len(), &mut stripped);
            stripped.extend_from_slice(content);
        }
    }
    Some(stripped)
}

/// An unsigned number of at most 32 bits, seven bits a byte, the least first.
fn read_size(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut size = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(5) {
        size |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(size).ok()?, bytes.get(index + 1..)?));
        }
    }
    None
}

fn write_size(mut size: usize, to: &mut Vec<u8>) {
    while size >= 0x80 {
        to.push(size.to_le_bytes()[0] | 0x80);
        size >>= 7;
    }
    to.push(size.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: [u8; 8] = *b"\0asm\x01\0\0\0";
    const OUTER: [u8; 8] = *b"\0asm\x0d\0\x01\0";

    fn section(id: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![id];
        write_size(content.len(), &mut bytes);
        bytes.extend_from_slice(content);
        bytes
    }

    #[test]
    fn custom_sections_go_at_every_depth_and_nothing_else() {
        let code = section(10, &[7; 300]);
        let debug = section(CUSTOM, &[9; 200]);
        let fat_module = [&MODULE[..], &debug, &code, &debug].concat();
        let thin_module = [&MODULE[..], &code].concat();
        let fat_inner = [&OUTER[..], &section(CORE_MODULE, &fat_module), &debug].concat();
        let thin_inner = [&OUTER[..], &section(CORE_MODULE, &thin_module)].concat();
        let fat = [&OUTER[..], &debug, &section(COMPONENT, &fat_inner), &section(7, &[1])].concat();
        let thin = [&OUTER[..], &section(COMPONENT, &thin_inner), &section(7, &[1])].concat();
        assert_eq!(strip(&fat), Some(thin.clone()));
        assert_eq!(strip(&thin), Some(thin.clone()), "what is stripped stays as it is");
        // In a core module, section 1 holds types and no module.
        let types = [&MODULE[..], &section(CORE_MODULE, &[1, 2, 3])].concat();
        assert_eq!(strip(&types), Some(types));
    }

    #[test]
    fn what_is_cut_off_or_too_deep_is_left_alone() {
        let whole = [&OUTER[..], &section(7, &[1; 200])].concat();
        for length in [0, 7, 9, 10, 50, whole.len() - 1] {
            assert_eq!(strip(&whole[..length]), None, "{length} bytes");
        }
        let nest =
            |depth| (0..depth).fold(OUTER.to_vec(), |inner, _| [&OUTER[..], &section(COMPONENT, &inner)].concat());
        assert!(strip(&nest(MAX_DEPTH)).is_some());
        assert_eq!(strip(&nest(MAX_DEPTH + 1)), None);
    }
}
