"""Every field and its default: the ground that all systems of the paper share.

Not run by itself. An overlay states what it changes:

    from vidprior.configuration import load

    def get_config():
        config = load("base")
        config.loss.flow = 0.1
        return config

Work directories of earlier versions lack the fields added since, and take these defaults:
the default of a new field means "as before".
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder


def get_config() -> ConfigDict:
    """The defaults."""
    config = ConfigDict()
    config.seed = 0  # everything random follows from it

    config.video = ConfigDict()
    config.video.height = 192  # training size; frames are centre-cropped to its aspect ratio
    config.video.width = 384
    config.video.start = 0  # first frame of the source that is used
    config.video.stop = placeholder(int)  # frame before which to stop; None: the last
    config.video.max_frames = placeholder(int)  # at most so many frames; None: all
    config.video.dilate = 0  # pixels by which the mask grows, at source size
    config.video.allow_truncated = False  # use the frames of a video that breaks off
    config.video.rate = 25.0  # frames per second of a folder of images
    config.video.region = "frame"  # that is trained on; 'hole': a crop around the hole's path
    config.video.context = 0.5  # of that crop beyond the path, on each side, as a share of it
    config.video.shots = "whole"  # 'split': what lies between cuts is fitted by itself
    config.video.segment = 0  # frames that are fitted together, at most; 0: no limit
    config.video.overlap = 10  # frames that neighbouring segments share, and blend over

    config.mask = ConfigDict()
    config.mask.labels = ()  # of masks that number objects: what is to go; (): all but 0
    config.mask.ignore = ()  # labels that stay, such as 255 where that means "void"
    config.mask.invert = False  # the masks show what is to stay
    config.mask.missing = "refuse"  # frames without a mask; 'empty': nothing goes from them

    config.flow = ConfigDict()
    config.flow.estimator = "dis"  # 'dis' (OpenCV) or 'pwcnet' (third_party/pwcnet_torch)
    config.flow.dis_preset = "medium"  # 'fast', 'medium' or 'fine'
    config.flow.pwcnet_weights = "weights/network-default.pytorch"
    config.flow.pwcnet_python = ".venv-pwcnet/bin/python"  # made by `make pwcnet-env`
    config.flow.fill_hole = False  # fill blank holes before estimation (not for object removal)

    config.window = ConfigDict()
    config.window.length = 5  # N frames
    config.window.strides = (1,)  # frame intervals, of 1, 3 and 5
    config.window.directions = ("forward",)  # each window judges flow one way

    config.schedule = ConfigDict()
    config.schedule.num_passes = 20
    config.schedule.windows_per_pass = 0  # 0: every window once
    config.schedule.updates_per_window = 100  # M
    config.schedule.median_window = "last"  # of a pass: 'last', 'extra' (once more) or 'none'

    config.schedule.rehearse = False  # treat some known pixels as missing, to measure errors
    config.schedule.keep_best = False  # render the pass that rehearses best; end when past it
    config.schedule.reset_per_window = False  # a fresh network for every window (DIP)
    config.schedule.windows_at_once = placeholder(int)  # of those; None: 1 on a CPU, else 8

    config.model = ConfigDict()
    config.model.channels = (16, 32, 64, 128, 128, 128)  # of every scale
    config.model.skip_channels = 4
    config.model.conv_ndim = 2  # 3: space and time
    config.model.refine_kernel = 1  # second convolution of the ascent; 3: the paper's word
    config.model.initializer = "pytorch"  # the published code; 'lecun': the paper's word
    config.model.noise_high = 0.1  # input noise is uniform below this
    config.model.dtype = "float32"  # of the convolutions; 'bfloat16' for speed
    config.model.precision = "default"  # of an update's float32 products; 'highest': no TF32

    config.optimizer = ConfigDict()
    config.optimizer.kind = "adam"  # 'muon': orthogonal changes of the kernels, see docs/quality.md
    config.optimizer.learning_rate = 0.01
    config.optimizer.b1 = 0.9  # Adam's
    config.optimizer.b2 = 0.999
    config.optimizer.eps = 1e-8
    config.optimizer.decay = "none"  # of the learning rate; 'cosine': to 0 over all updates
    config.optimizer.average = 0.0  # decay of the averaged parameters that render; 0: the newest

    config.loss = ConfigDict()  # weights of Equation 2; a term of weight 0 is not computed
    config.loss.image = 1.0
    config.loss.flow = 0.0
    config.loss.consistency = 0.0
    config.loss.perceptual = 0.0
    config.loss.propagated = (
        0.0  # not the paper's: pixels carried into the hole, see docs/quality.md
    )

    config.vgg = ConfigDict()
    config.vgg.weights = "weights/vgg16.npz"  # made by tools/convert_vgg16.py
    config.vgg.input = "published"  # BGR in [0, 1]; 'imagenet': normalised RGB
    config.vgg.features = "auto"  # of the clip: 'keep' or 'recompute' in every update; by size

    config.render = ConfigDict()
    config.render.rounding = "nearest"  # to 8 bit; 'down': as the published code
    config.render.size = "source"  # of the result; 'training': needs no source
    config.render.format = (
        "mp4"  # 'mp4', 'mkv' or 'mov'; without any loss: 'lossless' (.mkv), 'png'
    )
    config.render.audio = True  # copy the source's
    config.render.feather = 0.0  # pixels of the seam at source size, at most video.dilate
    config.render.propagated = "none"  # carried pixels: 'blend' as measured, or 'alone'
    config.render.blend = "plain"  # 'gradient': fit the hole's colours to its border

    config.checkpoint = ConfigDict()
    config.checkpoint.every = 1000  # updates
    config.checkpoint.keep = 3  # newest checkpoints kept

    config.log = ConfigDict()
    config.log.every = 100  # updates; one line of metrics.jsonl each
    config.log.preview_frames = 3  # frames of the preview image after each pass; 0: none
    config.log.tensorboard = False  # the same as summaries; needs vidprior[tensorboard]
    return config.lock()
