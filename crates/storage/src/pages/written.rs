//! Which pages a commit wrote: those of the new state that the old one has not.
//!
//! A commit copies every page that it changes, up to the roots, and changes no page of the state
//! before. So a page that both states have is under a parent that both have, or both parents were
//! replaced; it is enough to compare, level by level, what lies below the pages that were replaced.

use std::collections::HashSet;

use embedded_db_common::Result;
use embedded_db_common::record::Damaged;

use super::Pages;
use super::layout::{Meta, Page, Tree, Value, run_length};

type Visit<'a> = &'a mut dyn FnMut(u64, &[u8]) -> Result<()>;

/// Calls `visit` with each page that `new` has and `old` has not, and what is in it.
pub(super) fn written_pages(pages: &Pages, old: &Meta, new: &Meta, visit: Visit<'_>) -> Result<()> {
    let mut walk = Walk::through(pages, new, visit);
    walk.trees(old.free, new.free, false)?;
    walk.trees(old.main, new.main, true)
}

/// Calls `visit` with each page of a state.
pub(super) fn all_pages(pages: &Pages, meta: &Meta, visit: Visit<'_>) -> Result<()> {
    let nothing = Meta { free: Tree::EMPTY, main: Tree::EMPTY, ..*meta };
    written_pages(pages, &nothing, meta, visit)
}

const USED_TWICE: Damaged = Damaged("is used twice");

/// What lies below some pages of one level.
#[derive(Default)]
struct Below {
    children: Vec<u64>,
    /// Of leaves: values in pages of their own.
    runs: Vec<u64>,
    /// Of leaves: trees, with their names.
    trees: Vec<(Vec<u8>, Tree)>,
}

struct Walk<'a> {
    pages: &'a Pages,
    /// The pages that the state has.
    most: u64,
    /// Those that were visited.
    met: u64,
    visit: Visit<'a>,
}

impl<'a> Walk<'a> {
    fn through(pages: &'a Pages, meta: &Meta, visit: Visit<'a>) -> Self {
        Self { pages, most: meta.last_page, met: 0, visit }
    }

    /// Visits a page; pages that lead to each other in a circle come to an end.
    fn visit(&mut self, number: u64) -> Result<()> {
        self.met = self.met.saturating_add(1);
        if self.met > self.most {
            return Err(self.pages.damaged(number, USED_TWICE));
        }
        (self.visit)(number, self.pages.raw(number)?)
    }

    fn below(&self, numbers: &[u64], level: u16) -> Result<Below> {
        let mut below = Below::default();
        for &number in numbers {
            let told = |damaged| self.pages.damaged(number, damaged);
            let page = Page::parse(self.pages.raw(number)?, number, level).map_err(told)?;
            for index in 0..page.len() {
                if level > 1 {
                    below.children.push(page.child(index).map_err(told)?);
                    continue;
                }
                if page.is_plain(index) {
                    continue;
                }
                match page.row(index).map_err(told)? {
                    (_, Value::Here(_)) => {}
                    (_, Value::Big { page, .. }) => below.runs.push(page),
                    (name, Value::Tree(tree)) => below.trees.push((name.to_vec(), tree)),
                }
            }
            let found = below.children.len().max(below.runs.len());
            if found as u64 > self.most {
                return Err(told(USED_TWICE));
            }
        }
        Ok(below)
    }

    fn trees(&mut self, old: Tree, new: Tree, names: bool) -> Result<()> {
        if old == new {
            return Ok(());
        }
        let root = |tree: Tree| if tree.depth == 0 { Vec::new() } else { vec![tree.root] };
        let (mut olds, mut news) = (root(old), root(new));
        for level in (1..=old.depth.max(new.depth)).rev() {
            // The higher tree comes down to the other's root first.
            let (of_old, of_new) = (level <= old.depth, level <= new.depth);
            if of_old && of_new {
                (olds, news) = differences(&olds, &news);
            }
            if of_new {
                news.iter().try_for_each(|number| self.visit(*number))?;
            }
            let of = |is: bool, numbers: &[u64]| {
                if is { self.below(numbers, level) } else { Ok(Below::default()) }
            };
            if level == 1 && !names && new.big == 0 {
                // Nothing is below its leaves.
                return Ok(());
            }
            let after = of(of_new, &news)?;
            if level == 1 && after.runs.is_empty() && after.trees.is_empty() {
                return Ok(());
            }
            let before = of(of_old, &olds)?;
            if level == 1 {
                for first in differences(&before.runs, &after.runs).1 {
                    self.run(first)?;
                }
                if names {
                    for (name, tree) in after.trees {
                        let same = before.trees.iter().find(|(other, _)| *other == name);
                        self.trees(same.map_or(Tree::EMPTY, |(_, tree)| *tree), tree, false)?;
                    }
                }
                return Ok(());
            }
            if of_old {
                olds = before.children;
            }
            if of_new {
                news = after.children;
            }
        }
        Ok(())
    }

    /// The pages of a value that has pages of its own.
    fn run(&mut self, first: u64) -> Result<()> {
        let length = run_length(self.pages.raw(first)?, first);
        let length = length.map_err(|damaged| self.pages.damaged(first, damaged))?;
        (first..first.saturating_add(length)).try_for_each(|number| self.visit(number))
    }
}

/// What only the first and what only the second has; neither names a page twice. They mostly agree but
/// for a few places, so they are laid side by side first.
fn differences(first: &[u64], second: &[u64]) -> (Vec<u64>, Vec<u64>) {
    /// How far a page may have moved; beyond, it is found by comparing what is left.
    const NEAR: usize = 8;
    let (mut only_first, mut only_second) = (Vec::new(), Vec::new());
    let (mut one, mut two) = (first, second);
    while let ([a, rest_one @ ..], [b, rest_two @ ..]) = (one, two) {
        let near = |rest: &[u64], wanted: &u64| rest.iter().take(NEAR).position(|it| it == wanted);
        if a == b {
            (one, two) = (rest_one, rest_two);
        } else if let Some(ahead) = near(rest_two, a) {
            let (before, behind) = two.split_at(ahead.saturating_add(1));
            only_second.extend_from_slice(before);
            two = behind;
        } else if let Some(ahead) = near(rest_one, b) {
            let (before, behind) = one.split_at(ahead.saturating_add(1));
            only_first.extend_from_slice(before);
            one = behind;
        } else {
            only_first.push(*a);
            only_second.push(*b);
            (one, two) = (rest_one, rest_two);
        }
    }
    only_first.extend_from_slice(one);
    only_second.extend_from_slice(two);
    // What has moved further than that is in both.
    let moved: HashSet<u64> = if only_first.len().saturating_mul(only_second.len()) <= 64 {
        only_first.iter().copied().filter(|page| only_second.contains(page)).collect()
    } else {
        let seconds: HashSet<u64> = only_second.iter().copied().collect();
        only_first.iter().copied().filter(|page| seconds.contains(page)).collect()
    };
    if !moved.is_empty() {
        only_first.retain(|page| !moved.contains(page));
        only_second.retain(|page| !moved.contains(page));
    }
    (only_first, only_second)
}
