//! Which files are written anew with what came after them.

/// A file is merged with those after it once they hold one part in this many of it: so each row is written
/// anew a few times only, and files are few.
const MERGE_SHARE: u64 = 2;

/// How many of the first files stay, of so many rows, when there are so many rows more. What tells of deaths
/// alone makes a file, too, and these are not to be many.
pub(crate) fn merged_from(rows: &[u64], more: u64) -> usize {
    let mut more = more.max(1);
    let mut from = rows.len();
    while let Some(before) = from.checked_sub(1)
        && rows[before] < more.saturating_mul(MERGE_SHARE)
    {
        more = more.saturating_add(rows[before]);
        from = before;
    }
    from
}
