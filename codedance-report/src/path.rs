//! Points as the path of one line.

use std::fmt::Write;

use crate::markup::At;

/// A path that goes level from each point to the next, and from the last to `end`.
pub(crate) fn steps(points: &[(f64, f64)], end: f64) -> String {
    let mut path = String::new();
    let mut points = points.iter();
    // Writing into a string cannot fail.
    if let Some((x, y)) = points.next() {
        let _ = write!(path, "M{} {}", At(*x), At(*y));
        for (x, y) in points {
            let _ = write!(path, "H{}V{}", At(*x), At(*y));
        }
        let _ = write!(path, "H{}", At(end));
    }
    path
}

/// A path through the points, broken where there is none; a point alone becomes a dot of the line's
/// width.
pub(crate) fn line(points: impl Iterator<Item = (f64, Option<f64>)>) -> String {
    let mut path = String::new();
    let mut draws = false;
    for (x, y) in points {
        match y {
            Some(y) if draws => {
                let _ = write!(path, "L{} {}", At(x), At(y));
            }
            Some(y) => {
                let _ = write!(path, "M{0} {1}L{0} {1}", At(x), At(y));
            }
            None => {}
        }
        draws = y.is_some();
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_breaks_where_nothing_was_read() {
        let points = [
            (0.0, Some(1.0)),
            (1.0, None),
            (2.0, Some(3.0)),
            (3.0, Some(4.0)),
        ];
        assert_eq!(line(points.into_iter()), "M0 1L0 1M2 3L2 3L3 4");
        assert_eq!(line(std::iter::empty()), "");
    }

    #[test]
    fn steps_are_level_until_the_next_point() {
        assert_eq!(steps(&[(0.0, 5.0), (2.0, 1.0)], 9.0), "M0 5H2V1H9");
        assert_eq!(steps(&[(3.0, 5.0)], 3.0), "M3 5H3");
        assert_eq!(steps(&[], 9.0), "");
    }
}
