"""HDF5: `hdf5` lists the datasets, `dataset` reads one, `heap` checks what libhdf5 would not survive."""
