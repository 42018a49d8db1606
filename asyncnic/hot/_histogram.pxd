"""C types for `asyncnic.hot.histogram`, compiled under this name."""

cimport cython

cdef class Histogram:
    cdef readonly tuple bounds
    cdef public list counts
    cdef public double sum

    @cython.locals(index=Py_ssize_t, bound=double)
    cpdef observe(self, double value)
