# The addon (`thermocline`), its twin with the seed's racy slot claim for tests (`thermocline_planted`),
# and the three libraries they are linked from. Lists of sources come from scripts/native-sources.cjs.
#
# GYP_DEFINES: `development=1` builds the twin too and takes warnings for errors; `portable=1` links what gcc brings
# (its C++ library) into the addon and binds to the oldest glibc that Node runs with.
{
  'variables': {
    'development%': 0,
    'portable%': 0,
    # The kernels include simsimd's header, so it must be told the same as its library.
    'simsimd_defines': ['SIMSIMD_DYNAMIC_DISPATCH=1', 'SIMSIMD_NATIVE_F16=0', 'SIMSIMD_NATIVE_BF16=0'],
    'thermocline_cflags': [
      '-O2', '-fPIC', '-pthread', '-fvisibility=hidden',
      '-Wall', '-Wextra', '-Wshadow', '-Wconversion',
      '<!@(node scripts/native-sources.cjs system-includes)',
    ],
    # Paths are relative to build/, where the linker runs. A worker that ends would unload what it alone had loaded, and
    # nothing in the addon is made for that: nodelete.
    'thermocline_ldflags': [
      # Nothing but Node asks for it, so the linker would find no reason to take it out of its library.
      '-Wl,--undefined=napi_register_module_v1',
      '-pthread', '-Wl,--gc-sections', '-Wl,-z,nodelete', '-Wl,--version-script=../native/link/exports.map',
    ],
    # libgcc stays shared: Node brings it, and the unwinder of a newer one asks for a newer glibc.
    'portable_ldflags': [
      '-static-libstdc++',
      '-Wl,--wrap=pthread_create,--wrap=pthread_join,--wrap=pthread_detach,--wrap=pthread_cond_clockwait',
      '-Wl,--wrap=exp,--wrap=log,--wrap=log2,--wrap=pow',
      '-Wl,--wrap=stat64,--wrap=fstat64,--wrap=lstat64,--wrap=fstatat64',
    ],
  },
  'target_defaults': {
    'default_configuration': 'Release',
    'configurations': {
      # Not taken away by 'cflags!' here: that would also remove the -O3 of simsimd, whose kernels then spill every
      # register. Of two -O flags the last one counts, and each target gives its own.
      'Release': {},
    },
  },
  'targets': [
    {
      'target_name': 'simsimd',
      'type': 'static_library',
      'sources': ['<!@(node scripts/native-sources.cjs simsimd)'],
      'defines': ['<@(simsimd_defines)'],
      'cflags!': ['-Wall', '-Wextra'],
      'cflags': ['-O3', '-fPIC', '-fvisibility=hidden', '-w', '<!@(node scripts/native-sources.cjs system-includes)'],
    },
    {
      'target_name': 'core',
      'type': 'static_library',
      'sources': ['<!@(node scripts/native-sources.cjs core)'],
      'defines': ['<@(simsimd_defines)'],
      'include_dirs': ['native'],
      'cflags!': ['-Wno-unused-parameter'],
      'cflags': ['<@(thermocline_cflags)'],
      'cflags_cc!': ['-std=gnu++17', '-std=gnu++20'],
      'cflags_cc': ['-std=c++20', '-fno-exceptions', '-fno-rtti'],
      'conditions': [['development==1', {'cflags': ['-Werror']}]],
    },
    {
      'target_name': 'binding',
      'type': 'static_library',
      'sources': ['<!@(node scripts/native-sources.cjs binding)'],
      'include_dirs': ['native'],
      'defines': ['NAPI_VERSION=8', 'NAPI_DISABLE_CPP_EXCEPTIONS'],
      'cflags!': ['-Wno-unused-parameter'],
      'cflags': ['<@(thermocline_cflags)'],
      'cflags_cc!': ['-std=gnu++17', '-std=gnu++20'],
      'cflags_cc': ['-std=c++20', '-fno-exceptions', '-fno-rtti'],
      'conditions': [['development==1', {'cflags': ['-Werror']}]],
    },
    {
      'target_name': 'thermocline',
      'dependencies': ['binding', 'core', 'simsimd'],
      'sources': ['<!@(node scripts/native-sources.cjs claim)'],
      'include_dirs': ['native'],
      'cflags': ['<@(thermocline_cflags)'],
      'cflags_cc!': ['-std=gnu++17', '-std=gnu++20'],
      'cflags_cc': ['-std=c++20', '-fno-exceptions', '-fno-rtti'],
      'ldflags': ['<@(thermocline_ldflags)'],
      'conditions': [
        ['development==1', {'cflags': ['-Werror']}],
        ['portable==1', {'sources': ['native/link/older_glibc.c'], 'ldflags': ['<@(portable_ldflags)']}],
      ],
    },
  ],
  'conditions': [
    ['development==1', {
      'targets': [
        {
          'target_name': 'thermocline_planted',
          'dependencies': ['binding', 'core', 'simsimd'],
          'sources': ['<!@(node scripts/native-sources.cjs claim)'],
          'include_dirs': ['native'],
          'defines': ['THERMOCLINE_PLANT_RACY_CLAIM=1'],
          'cflags': ['<@(thermocline_cflags)', '-Werror'],
          'cflags_cc!': ['-std=gnu++17', '-std=gnu++20'],
          'cflags_cc': ['-std=c++20', '-fno-exceptions', '-fno-rtti'],
          'ldflags': ['<@(thermocline_ldflags)'],
          'conditions': [
            ['portable==1', {'sources': ['native/link/older_glibc.c'], 'ldflags': ['<@(portable_ldflags)']}],
          ],
        },
      ],
    }],
  ],
}
