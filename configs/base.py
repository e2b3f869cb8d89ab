"""All fields with their defaults, which the systems of the paper share.

Not run by itself. Other configurations load it and change fields:

    from vidprior.configuration import load

    def get_config():
        config = load("base")
        config.loss.flow = 0.1
        return config

Work directories of earlier versions lack newer fields and take these defaults, so the
default of a new field must mean "as before".
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder


def get_config() -> ConfigDict:
    """The defaults."""
    config = ConfigDict()
    config.seed = 0  # every random number follows from it
    config.method = "train"  # fit a network; 'propagate': only propagate known pixels

    config.video = ConfigDict()
    config.video.height = 192  # training size; frames are centre-cropped to its aspect ratio
    config.video.width = 384
    config.video.start = 0  # first frame of the source to use
    config.video.stop = placeholder(int)  # first frame not to use; None: use all
    config.video.max_frames = placeholder(int)  # use at most this many frames; None: all
    config.video.allow_truncated = False  # use the readable frames of a truncated video
    config.video.image_fps = 25.0  # frames per second of a folder of images
    config.video.outpaint = (1.0,)  # enlarge the frames: by 1.25, or width and height: (1.25, 1.0)
    config.video.crop = "frame"  # train on the whole frame, or on a crop around the 'hole'
    config.video.crop_margin = 0.5  # of that crop on each side, as a share of the hole's box
    config.video.split_at_cuts = False  # fit each shot by itself
    config.video.max_segment_frames = 0  # split shots longer than this; 0: never
    config.video.segment_overlap = 10  # frames shared by neighbouring segments, crossfaded

    config.mask = ConfigDict()
    config.mask.dilate = placeholder(float)
    config.mask.dilate = 0.0  # source pixels by which the mask grows; None: by the frame's height
    config.mask.grow = "none"  # 'auto': also by shadows and reflections found outside it
    config.mask.suggest = False  # look for them before the run, and suggest masks
    config.mask.fit = False  # resample masks of another number, rate or size to the video
    config.mask.labels = ()  # of masks that number objects: what to remove; (): all but 0
    config.mask.ignore = ()  # labels to keep, such as 255 where that means 'void'
    config.mask.invert = False  # the masks show what to keep
    config.mask.missing = "refuse"  # frames without a mask; 'empty': they stay as they are

    config.flow = ConfigDict()
    config.flow.estimator = "dis"  # 'dis' (OpenCV) or 'pwcnet' (third_party/pwcnet_torch)
    config.flow.dis_preset = "medium"  # 'fast', 'medium' or 'fine'
    config.flow.pwcnet_weights = "weights/network-default.pytorch"
    config.flow.pwcnet_python = ".venv-pwcnet/bin/python"  # made by `make pwcnet-env`
    config.flow.fill_hole = False  # fill blank holes before estimation (not for object removal)

    config.propagation = ConfigDict()
    config.propagation.holdout = False  # withhold some known pixels to measure errors on them
    config.propagation.guess = "smooth"  # what no frame shows; 'copies' of its surroundings

    config.window = ConfigDict()
    config.window.length = 5  # N frames
    config.window.strides = (1,)  # frame intervals: 1, 3 and 5
    config.window.directions = ("forward",)  # of the flow in a window

    config.schedule = ConfigDict()
    config.schedule.num_passes = 20
    config.schedule.windows_per_pass = 0  # 0: every window once
    config.schedule.updates_per_window = 100  # M
    config.schedule.median_window = "last"  # of a pass: 'last', 'extra' (once more) or 'none'
    config.schedule.reset_per_window = False  # a fresh network for every window (DIP)
    config.schedule.windows_at_once = placeholder(int)  # of those; None: one
    config.schedule.one_graph = False  # on a GPU: many updates as one CUDA graph, if it can do so

    config.model = ConfigDict()
    config.model.channels = (16, 32, 64, 128, 128, 128)  # of each scale
    config.model.skip_channels = 4
    config.model.conv_ndim = 2  # 3: space and time
    config.model.refine_kernel = 1  # second decoder convolution; 3: the paper's text
    config.model.initializer = "pytorch"  # the published code; 'lecun': the paper's text
    config.model.noise_high = 0.1  # input noise is uniform in [0, noise_high)
    config.model.dtype = "float32"  # of the convolutions; 'bfloat16' is faster on a GPU
    config.model.precision = "default"  # of float32 products in an update; 'highest': no TF32

    config.optimizer = ConfigDict()
    config.optimizer.name = "adam"  # or 'muon': orthogonalised updates of the kernels
    config.optimizer.learning_rate = 0.01
    config.optimizer.b1 = 0.9  # of Adam
    config.optimizer.b2 = 0.999
    config.optimizer.eps = 1e-8
    config.optimizer.lr_schedule = "none"  # constant; 'cosine': decays to 0 over all updates
    config.optimizer.ema_decay = 0.0  # of averaged parameters, which render; 0: no average

    config.loss = ConfigDict()  # weights of Equation 2; a term of weight 0 is not computed
    config.loss.image = 1.0
    config.loss.flow = 0.0
    config.loss.consistency = 0.0
    config.loss.perceptual = 0.0
    config.loss.propagated = 0.0  # not the paper's: match propagated pixels in the hole

    config.vgg = ConfigDict()
    config.vgg.weights = "weights/vgg16.npz"  # made by tools/convert_vgg16.py
    config.vgg.preprocessing = "published"  # BGR in [0, 1]; 'imagenet': normalised RGB
    config.vgg.cache = "auto"  # features of the clip: 'keep' or 'recompute'; 'auto': by size

    config.render = ConfigDict()
    config.render.rounding = "nearest"  # to 8 bit; 'down': as the published code
    config.render.resolution = "source"  # of the result; 'training' needs no source
    config.render.format = "mp4"  # 'mp4', 'mkv', 'mov'; lossless: 'ffv1' (.mkv) or 'png'
    config.render.audio = True  # copy the audio of the source
    config.render.feather = 0.0  # width of the soft seam in source pixels, at most mask.dilate
    config.render.propagated_pixels = "none"  # 'blend' them over the network's pixels
    config.render.grain = False  # add the noise of the surroundings to the hole, at source size
    config.render.seam = "plain"  # 'gradient': fit the hole's colours to its border

    config.checkpoint = ConfigDict()
    config.checkpoint.every = 1000  # updates; also saved after two minutes
    config.checkpoint.keep = 3  # number of newest checkpoints to keep
    config.checkpoint.keep_best = False  # render the best pass; stop early when it is old

    config.log = ConfigDict()
    config.log.every = 100  # updates per line of metrics.jsonl
    config.log.preview_frames = 3  # frames of the preview after each pass; 0: none
    config.log.tensorboard = False  # also write summaries; needs vidprior[tensorboard]
    return config.lock()
