//! Many tokens in one piece of memory, which NumPy sees too.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};

use embedded_db_engine::common::{AXES, TOKEN_BYTES, Token as Packed, clock};
use numpy::npyffi::NPY_ARRAY_WRITEABLE;
use numpy::{PyArrayDescr, PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyIndexError, PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PySlice, PyTuple, PyType};

use crate::errors::{attached, detached, invalid, shown};
use crate::tokens::Token;

/// Most tokens that are made in one call: 16 GiB.
const LONGEST: usize = 1 << 28;

/// What NumPy is asked for.
pub(crate) struct NumPy {
    array: Py<PyAny>,
    empty: Py<PyAny>,
    kind: Py<PyAny>,
    /// A token.
    token: Py<PyArrayDescr>,
    /// A token as its eight coordinates.
    coordinates: Py<PyArrayDescr>,
}

static NUMPY: PyOnceLock<NumPy> = PyOnceLock::new();

pub(crate) fn numpy(py: Python<'_>) -> PyResult<&NumPy> {
    NUMPY.get_or_try_init(py, || {
        let module = py.import("numpy")?;
        let mut fields = vec![("id", "<u8")];
        fields.extend(AXES.map(|axis| (axis, "<f4")));
        fields.extend([("weight", "<f4"), ("flags", "<u2"), ("version", "<u2")]);
        fields.extend([("created_at", "<M8[us]"), ("updated_at", "<M8[us]")]);
        let eight = PyDict::new(py);
        eight.set_item("names", ["coordinates"])?;
        eight.set_item("formats", ["(8,)<f4"])?;
        eight.set_item("offsets", [8])?;
        eight.set_item("itemsize", TOKEN_BYTES)?;
        Ok(NumPy {
            array: module.getattr("array")?.unbind(),
            empty: module.getattr("empty")?.unbind(),
            kind: module.getattr("ndarray")?.unbind(),
            token: PyArrayDescr::new(py, fields)?.unbind(),
            coordinates: PyArrayDescr::new(py, eight)?.unbind(),
        })
    })
}

/// Tokens in one piece of memory, which is that of a structured NumPy array, too.
///
/// What is written there is read here. An element is given as a `Token`, a slice as a `TokenArray`
/// of the same memory.
///
/// Examples:
///     >>> from embedded_db import Token, TokenArray
///     >>> tokens = Token.create_batch(1000, first_id=5)
///     >>> len(tokens), tokens[0].id, tokens[-1].id, [token.id for token in tokens[:3]]
///     (1000, 5, 1004, [5, 6, 7])
///     >>> array = tokens.to_numpy()
///     >>> array["emotional"][7] = 0.5
///     >>> tokens[7], tokens[5:][2] == tokens[7], tokens.coordinates[7, 3]
///     (Token(12, emotional=0.5), True, np.float32(0.5))
///     >>> tokens[7] = Token(12)
///     >>> array["emotional"].any(), array.itemsize
///     (np.False_, 64)
///     >>> other = tokens.clone()
///     >>> other == tokens, other.to_numpy() is array
///     (True, False)
///     >>> TokenArray.from_bytes(tokens.to_bytes()) == TokenArray.from_numpy(array) == tokens
///     True
///     >>> TokenArray.from_arrow(tokens.to_arrow()) == tokens
///     True
#[pyclass(frozen, module = "embedded_db._native")]
pub(crate) struct TokenArray {
    /// One-dimensional, of the type `token`. A view that nobody else has: shape, strides and type of an array
    /// can be set. It never leads to freed memory, since NumPy resizes no array that has views, unless it
    /// is told not to look.
    array: Py<PyUntypedArray>,
}

impl TokenArray {
    pub(crate) fn in_a_row(py: Python<'_>, count: usize, first: u64) -> PyResult<Self> {
        let last = first.checked_add((count as u64).saturating_sub(1));
        if count > LONGEST || last.is_none() {
            let message = format!(
                "count is {count}, first_id is {first}; count must be {LONGEST} at most, and every id \
                 below 2**64"
            );
            return Err(invalid(py, message));
        }
        // NumPy asks the system for large pages, which takes a third of the time.
        let made = Self::empty(py, count)?;
        let array = made.array.bind(py);
        // SAFETY: new memory of `count` tokens, which nobody else knows; `made` keeps it.
        #[allow(unsafe_code)]
        let places = unsafe {
            let data = (*array.as_array_ptr()).fields.data;
            std::slice::from_raw_parts_mut(data.cast::<MaybeUninit<Packed>>(), count)
        };
        detached(py, || {
            let token = Packed::at(0, clock::now());
            for (id, place) in (first..).zip(places) {
                place.write(Packed { id, ..token });
            }
            Ok(())
        })?;
        Ok(made)
    }

    /// A copy of these.
    pub(crate) fn copied(py: Python<'_>, tokens: &[Packed]) -> PyResult<Self> {
        let made = Self::empty(py, tokens.len())?;
        for (index, token) in tokens.iter().enumerate() {
            // SAFETY: new memory of as many tokens.
            #[allow(unsafe_code)]
            unsafe {
                made.place(py, index).write_unaligned(*token);
            }
        }
        Ok(made)
    }

    fn empty(py: Python<'_>, count: usize) -> PyResult<Self> {
        let numpy = numpy(py)?;
        Self::of(numpy.empty.bind(py).call1((count, numpy.token.bind(py)))?)
    }

    /// Over an array of tokens, of one dimension.
    fn of(array: Bound<'_, PyAny>) -> PyResult<Self> {
        let view = array.call_method1("view", (numpy(array.py())?.kind.bind(array.py()),))?;
        Ok(Self { array: view.cast_into::<PyUntypedArray>()?.unbind() })
    }

    pub(crate) fn count(&self, py: Python<'_>) -> usize {
        self.array.bind(py).shape()[0]
    }

    /// Where a token lies, of which there are more than `index`.
    fn place(&self, py: Python<'_>, index: usize) -> *mut Packed {
        let array = self.array.bind(py);
        assert!(index < array.shape()[0], "a token behind the last");
        let behind = index as isize * array.strides()[0];
        // SAFETY: NumPy keeps so many elements so far apart; the array is alive.
        #[allow(unsafe_code)]
        unsafe {
            (*array.as_array_ptr()).fields.data.offset(behind).cast()
        }
    }

    pub(crate) fn read(&self, py: Python<'_>, index: usize) -> Packed {
        let place = self.place(py, index);
        // SAFETY: 64 bytes of the array, whatever they are; a foreign one may lie anywhere.
        #[allow(unsafe_code)]
        unsafe {
            place.read_unaligned()
        }
    }

    fn check(&self, py: Python<'_>) -> PyResult<()> {
        attached(py, || (0..self.count(py)).try_for_each(|index| self.read(py, index).check()))
    }

    /// The index of a token, counted from the end when it is negative.
    fn index(&self, given: &Bound<'_, PyAny>) -> PyResult<usize> {
        let count = self.count(given.py());
        let index = match given.extract::<isize>() {
            Ok(index) if index < 0 => index.checked_add_unsigned(count),
            Ok(index) => Some(index),
            Err(error) if error.is_instance_of::<PyOverflowError>(given.py()) => None,
            Err(error) => return Err(error),
        };
        let index = index.and_then(|index| usize::try_from(index).ok());
        index.filter(|index| *index < count).ok_or_else(|| {
            PyIndexError::new_err(format!("there is no token {}, of {count}", shown(given)))
        })
    }
}

#[pymethods]
impl TokenArray {
    /// The tokens of an array, without a copy.
    ///
    /// What is written into the array later is not checked any more.
    ///
    /// Args:
    ///     array: of the type `TOKEN_DTYPE` and one dimension, with 1 in the field
    ///         ``version``.
    #[classmethod]
    fn from_numpy(kind: &Bound<'_, PyType>, array: &Bound<'_, PyUntypedArray>) -> PyResult<Self> {
        let py = kind.py();
        if !array.dtype().is_equiv_to(numpy(py)?.token.bind(py)) {
            let message = format!(
                "array has the dtype {}; it must be embedded_db.tokens.TOKEN_DTYPE",
                array.dtype()
            );
            return Err(invalid(py, message));
        }
        if array.ndim() != 1 {
            let message = format!("array has {} dimensions; it must have one", array.ndim());
            return Err(invalid(py, message));
        }
        let made = Self::of(array.clone().into_any())?;
        made.check(py)?;
        Ok(made)
    }

    /// Tokens out of the bytes that `to_bytes` gave.
    ///
    /// Args:
    ///     data: 64 bytes for each.
    #[classmethod]
    fn from_bytes(kind: &Bound<'_, PyType>, data: &[u8]) -> PyResult<Self> {
        let py = kind.py();
        let (tokens, rest) = data.as_chunks::<TOKEN_BYTES>();
        if !rest.is_empty() {
            let message =
                format!("data has {} bytes; it must be {TOKEN_BYTES} for each token", data.len());
            return Err(invalid(py, message));
        }
        let tokens: Vec<Packed> = tokens.iter().map(Packed::from_bytes).collect();
        let made = Self::copied(py, &tokens)?;
        made.check(py)?;
        Ok(made)
    }

    /// Tokens out of an Arrow table, such as `to_arrow` gives.
    ///
    /// Args:
    ///     table: a pyarrow table, or anything with ``__arrow_c_stream__``, that has all
    ///         columns of `to_arrow`.
    #[classmethod]
    fn from_arrow<'py>(
        kind: &Bound<'py, PyType>,
        table: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        kind.py().import("embedded_db.tokens")?.getattr("from_arrow")?.call1((table,))
    }

    /// The memory as a NumPy array, without a copy.
    fn to_numpy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.array.bind(py).call_method0("view")
    }

    #[pyo3(signature = (dtype=None, copy=None))]
    fn __array__<'py>(
        &self,
        py: Python<'py>,
        dtype: Option<&Bound<'py, PyAny>>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let named = PyDict::new(py);
        named.set_item("dtype", dtype)?;
        named.set_item("copy", copy)?;
        numpy(py)?.array.bind(py).call((self.to_numpy(py)?,), Some(&named))
    }

    /// The coordinates as a NumPy array of eight columns, without a copy.
    #[getter]
    fn coordinates<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let coordinates = numpy(py)?.coordinates.bind(py);
        self.array.bind(py).call_method1("view", (coordinates,))?.get_item("coordinates")
    }

    /// 64 bytes for each token, as of `Token.to_bytes`.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(self.array.bind(py).call_method0("tobytes")?.cast_into::<PyBytes>()?)
    }

    /// An Arrow table with a row for each token. Needs pyarrow.
    ///
    /// Its columns: ``id``, the eight coordinates, ``weight``, ``flags``, ``created_at`` and
    /// ``updated_at``.
    fn to_arrow<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("embedded_db.tokens")?.getattr("to_arrow")?.call1((slf,))
    }

    /// The same tokens in memory of their own.
    fn clone(&self, py: Python<'_>) -> PyResult<Self> {
        Self::of(self.array.bind(py).call_method0("copy")?)
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let py = slf.py();
        (slf.get_type().getattr("from_numpy")?, (slf.get().to_numpy(py)?,)).into_pyobject(py)
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        self.count(py)
    }

    fn __getitem__<'py>(&self, given: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = given.py();
        if given.is_instance_of::<PySlice>() {
            let part = Self::of(self.array.bind(py).get_item(given)?)?;
            return Ok(Bound::new(py, part)?.into_any());
        }
        let packed = self.read(py, self.index(given)?);
        Ok(Bound::new(py, Token { packed })?.into_any())
    }

    fn __setitem__(&self, given: &Bound<'_, PyAny>, token: &Token) -> PyResult<()> {
        let py = given.py();
        if given.is_instance_of::<PySlice>() {
            let message = "a token can be put in the place of one; use to_numpy() for a slice";
            return Err(PyTypeError::new_err(message));
        }
        let index = self.index(given)?;
        // SAFETY: the array is alive.
        #[allow(unsafe_code)]
        let flags = unsafe { (*self.array.bind(py).as_array_ptr()).fields.flags };
        if flags & NPY_ARRAY_WRITEABLE == 0 {
            let message = "the memory of these tokens cannot be written; use clone()";
            return Err(invalid(py, message.into()));
        }
        // SAFETY: 64 bytes of an array that may be written. The interpreter is held, as by all who read here.
        #[allow(unsafe_code)]
        unsafe {
            self.place(py, index).write_unaligned(token.packed);
        }
        Ok(())
    }

    fn __iter__(slf: Py<Self>) -> TokenIterator {
        TokenIterator { tokens: slf, next: AtomicUsize::new(0) }
    }

    fn __eq__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> bool {
        let Ok(other) = other.cast::<Self>() else { return false };
        let (other, count) = (other.get(), self.count(py));
        let same = |index| self.read(py, index).to_bytes() == other.read(py, index).to_bytes();
        other.count(py) == count && (0..count).all(same)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        format!("TokenArray({} tokens)", self.count(py))
    }
}

/// Gives the tokens of an array one after another.
#[pyclass(frozen, module = "embedded_db._native")]
pub(crate) struct TokenIterator {
    tokens: Py<TokenArray>,
    next: AtomicUsize,
}

#[pymethods]
impl TokenIterator {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> Option<Token> {
        let tokens = self.tokens.get();
        let index = self.next.load(Ordering::Relaxed);
        (index < tokens.count(py)).then(|| {
            self.next.store(index + 1, Ordering::Relaxed);
            Token { packed: tokens.read(py, index) }
        })
    }
}
