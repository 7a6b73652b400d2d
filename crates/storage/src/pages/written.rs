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

/// What rows of leaves lead to.
#[derive(Default)]
struct Rows<'a> {
    /// Values in pages of their own.
    runs: Vec<u64>,
    /// Trees, with their names.
    trees: Vec<(&'a [u8], Tree)>,
}

struct Walk<'a> {
    pages: &'a Pages,
    /// The pages that the state has.
    most: u64,
    /// Those that were visited.
    met: u64,
    visit: Visit<'a>,
    /// Lists that are free to be used again: a commit asks for many short ones.
    spare: Vec<Vec<u64>>,
}

impl<'a> Walk<'a> {
    fn through(pages: &'a Pages, meta: &Meta, visit: Visit<'a>) -> Self {
        Self { pages, most: meta.last_page, met: 0, visit, spare: Vec::new() }
    }

    /// Visits a page; pages that lead to each other in a circle come to an end.
    fn visit(&mut self, number: u64) -> Result<()> {
        self.met = self.met.saturating_add(1);
        if self.met > self.most {
            return Err(self.pages.damaged(number, USED_TWICE));
        }
        (self.visit)(number, self.pages.raw(number)?)
    }

    fn list(&mut self) -> Vec<u64> {
        self.spare.pop().unwrap_or_default()
    }

    fn give_back(&mut self, mut list: Vec<u64>) {
        list.clear();
        self.spare.push(list);
    }

    fn page(&self, number: u64, level: u16) -> Result<Page<'a>> {
        let page = Page::parse(self.pages.raw(number)?, number, level);
        page.map_err(|damaged| self.pages.damaged(number, damaged))
    }

    /// Of branches: the pages below those of the old and those of the new state. What is found at the same place,
    /// from the first or from the last on, both have.
    fn children(&mut self, olds: &[u64], news: &[u64], level: u16) -> Result<[Vec<u64>; 2]> {
        let (mut before, mut after) = (self.list(), self.list());
        for place in 0..olds.len().max(news.len()) {
            let page = |numbers: &[u64]| -> Result<_> {
                let number = numbers.get(place);
                number.map(|number| Ok((*number, self.page(*number, level)?))).transpose()
            };
            let (old, new) = (page(olds)?, page(news)?);
            let (mut begin, mut end) = (0, 0);
            if let (Some((_, old)), Some((_, new))) = (&old, &new) {
                let both = old.len().min(new.len());
                let same = |one: usize, two: usize| {
                    old.child(one)
                        .ok()
                        .zip(new.child(two).ok())
                        .is_some_and(|(one, two)| one == two)
                };
                begin = (0..both).take_while(|index| same(*index, *index)).count();
                let last = |page: &Page<'_>, index: usize| page.len().saturating_sub(index);
                let rest = 1..=both.saturating_sub(begin);
                end = rest.take_while(|index| same(last(old, *index), last(new, *index))).count();
            }
            for (page, found) in [(old, &mut before), (new, &mut after)] {
                let Some((number, page)) = page else { continue };
                for index in begin..page.len().saturating_sub(end) {
                    let child = page.child(index);
                    found.push(child.map_err(|damaged| self.pages.damaged(number, damaged))?);
                }
                if found.len() as u64 > self.most {
                    return Err(self.pages.damaged(number, USED_TWICE));
                }
            }
        }
        Ok([before, after])
    }

    /// What the rows of leaves lead to.
    fn rows(&self, numbers: &[u64]) -> Result<Rows<'a>> {
        let mut rows = Rows::default();
        for &number in numbers {
            let page = self.page(number, 1)?;
            for index in (0..page.len()).filter(|index| !page.is_plain(*index)) {
                let row = page.row(index);
                match row.map_err(|damaged| self.pages.damaged(number, damaged))? {
                    (_, Value::Here(_)) => {}
                    (_, Value::Big { page, .. }) => rows.runs.push(page),
                    (name, Value::Tree(tree)) => rows.trees.push((name, tree)),
                }
            }
            if rows.runs.len() as u64 > self.most {
                return Err(self.pages.damaged(number, USED_TWICE));
            }
        }
        Ok(rows)
    }

    fn trees(&mut self, old: Tree, new: Tree, names: bool) -> Result<()> {
        if old == new {
            return Ok(());
        }
        let (mut olds, mut news) = (self.list(), self.list());
        for (tree, pages) in [(old, &mut olds), (new, &mut news)] {
            pages.extend((tree.depth > 0).then_some(tree.root));
        }
        for level in (1..=old.depth.max(new.depth)).rev() {
            // The higher tree comes down to the other's root first.
            let (of_old, of_new) = (level <= old.depth, level <= new.depth);
            if of_old && of_new {
                (olds, news) = differences(olds, news);
            }
            if of_new {
                news.iter().try_for_each(|number| self.visit(*number))?;
            }
            if level > 1 {
                let before = if of_old { &*olds } else { &[] };
                let after = if of_new { &*news } else { &[] };
                let [before, after] = self.children(before, after, level)?;
                let unused = [
                    if of_old { std::mem::replace(&mut olds, before) } else { before },
                    if of_new { std::mem::replace(&mut news, after) } else { after },
                ];
                unused.into_iter().for_each(|list| self.give_back(list));
            }
        }
        // Nothing is below leaves without big values.
        if !names && new.big == 0 {
            [olds, news].into_iter().for_each(|list| self.give_back(list));
            return Ok(());
        }
        let after = self.rows(&news)?;
        if after.runs.is_empty() && after.trees.is_empty() {
            return Ok(());
        }
        let before = self.rows(&olds)?;
        for first in differences(before.runs, after.runs).1 {
            self.run(first)?;
        }
        if names {
            for (name, tree) in after.trees {
                let same = before.trees.iter().find(|(other, _)| *other == name);
                self.trees(same.map_or(Tree::EMPTY, |(_, tree)| *tree), tree, false)?;
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
fn differences(first: Vec<u64>, second: Vec<u64>) -> (Vec<u64>, Vec<u64>) {
    /// How far a page may have moved; beyond, it is found by comparing what is left.
    const NEAR: usize = 8;
    let few = |first: &[u64], second: &[u64]| first.len().saturating_mul(second.len()) <= 64;
    let (mut only_first, mut only_second) = (Vec::new(), Vec::new());
    if few(&first, &second) {
        (only_first, only_second) = (first, second);
    } else {
        let (mut one, mut two) = (&*first, &*second);
        while let ([a, rest_one @ ..], [b, rest_two @ ..]) = (one, two) {
            let near =
                |rest: &[u64], wanted: &u64| rest.iter().take(NEAR).position(|it| it == wanted);
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
    }
    // What has moved further than that is in both.
    let moved: HashSet<u64> = if few(&only_first, &only_second) {
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
